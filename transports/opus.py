"""Opus decoding with concealment and forward error correction, which FFmpeg's wrapper does not pass on.

libopus is the one that PyAV's extension module is linked with: no further dependency, and no file name to guess.
"""

import ctypes
from functools import cache

import av.codec.context

CLOCK_RATE = 48_000
MAX_TICKS = 5760
"""The longest packet: 120 ms."""

_RESET_STATE = 4028


class OpusError(Exception):
    """libopus refused a packet or could not be reached."""


@cache
def libopus() -> ctypes.PyDLL:
    """The library, with the types of what is used here.

    A call takes some 40 µs. Letting go of the interpreter for so long would cost an event loop more than it gives the
    other threads, so it is kept (`PyDLL`).

    Raises:
        OpusError: PyAV is not linked with libopus, or the library is too old to tell of forward error correction.
    """
    try:
        library = ctypes.PyDLL(av.codec.context.__file__)
        library.opus_decoder_create.restype = ctypes.c_void_p
        library.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
        library.opus_decoder_ctl.argtypes = [ctypes.c_void_p, ctypes.c_int]
        library.opus_decode.argtypes = [
            *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32),
            *(ctypes.c_void_p, ctypes.c_int, ctypes.c_int),
        ]
        library.opus_packet_get_nb_samples.argtypes = [ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32]
        library.opus_packet_has_lbrr.argtypes = [ctypes.c_char_p, ctypes.c_int32]
        library.opus_strerror.restype = ctypes.c_char_p
    except (OSError, AttributeError) as error:
        raise OpusError(f"PyAV gives no way to libopus 1.5 or newer: {error}") from error
    return library


def packet_ticks(payload: bytes) -> int:
    """The length of a packet's sound at 48 kHz; 0 where it is none that can be decoded."""
    return max(libopus().opus_packet_get_nb_samples(payload, len(payload), CLOCK_RATE), 0) if payload else 0


def carries_correction(payload: bytes) -> bool:
    """Whether a packet holds a coarse copy of the one before it (in-band forward error correction)."""
    return bool(payload) and libopus().opus_packet_has_lbrr(payload, len(payload)) == 1


class OpusDecoder:
    """One stream, to mono PCM16. A stream in stereo, or of another rate, is converted on the way.

    Args:
        rate: Samples a second of what comes out: 8000, 12000, 16000, 24000 or 48000.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._library = libopus()
        error = ctypes.c_int()
        self._state = self._library.opus_decoder_create(rate, 1, ctypes.byref(error))
        if not self._state:
            raise OpusError(f"no Opus decoder of {rate} Hz: {self._text(error.value)}")
        self._out = ctypes.create_string_buffer(MAX_TICKS * 2)

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._library.opus_decoder_destroy(self._state)

    def decode(self, payload: bytes) -> bytes:
        """The sound of the next packet.

        Raises:
            OpusError: It is not a packet of Opus.
        """
        return self._run(payload, MAX_TICKS, 0)

    def conceal(self, ticks: int) -> bytes:
        """Sound in place of a packet that is missing, which goes on from what was heard and fades.

        Args:
            ticks: Its length at 48 kHz, a multiple of 120 and at most `MAX_TICKS`.
        """
        return self._run(None, ticks, 0)

    def recover(self, following: bytes, ticks: int) -> bytes:
        """The sound of the packet missing in front of `following`, from the copy in it; as `conceal` without one."""
        return self._run(following, ticks, 1)

    def reset(self) -> None:
        """Forget the stream."""
        self._library.opus_decoder_ctl(self._state, _RESET_STATE)

    def _run(self, payload: bytes | None, ticks: int, correction: int) -> bytes:
        room = ticks * self.rate // CLOCK_RATE
        length = len(payload) if payload else 0
        samples = self._library.opus_decode(self._state, payload or None, length, self._out, room, correction)
        if samples < 0:
            raise OpusError(f"a packet of {length} bytes cannot be decoded: {self._text(samples)}")
        return ctypes.string_at(self._out, samples * 2)

    def _text(self, code: int) -> str:
        return self._library.opus_strerror(code).decode()
