"""Listens to a recording once, and keeps what the model needs of it to speak with that voice.

It runs on the CPU whatever the device of the model is, with modules of its own that nothing else uses: it takes a few
seconds of a thread, and neither the GPU nor its memory. It happens once a clip and model.
"""

import hashlib
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from loguru import logger

from engines.chatterbox.clips import Clip, digest, read_clip
from engines.chatterbox.loading import Loaded
from engines.chatterbox.voice_folder import VoiceFile, write_whole
from engines.errors import EngineRefused

GEN_KEYS = ("prompt_token", "prompt_token_len", "prompt_feat", "embedding")
SPEAKER_SIZE = 256


class Enroller:
    """Makes upstream's `Conditionals` of recordings, as upstream's `prepare_conditionals` does."""

    def __init__(self, loaded: Loaded):
        """Keep of the model what listens; the rest may go."""
        from chatterbox.models.s3gen.s3gen import S3Token2Mel

        self.variant = loaded.variant
        self._upstream = _upstream_class(loaded.variant)
        self._voice_encoder = loaded.voice_encoder
        self._prompt_tokens = int(loaded.t3.hp.speech_cond_prompt_len)
        # What upstream's `embed_ref` reads of S3Gen: without its flow and its vocoder.
        listener = ("tokenizer", "speaker_encoder", "mel_extractor", "dtype")
        self._listener: Any = SimpleNamespace(**{name: getattr(loaded.s3gen, name) for name in listener})
        self._embed: Any = S3Token2Mel.embed_ref
        self._model = _fingerprint(loaded)

    @torch.no_grad()
    def listen(self, clip: Clip) -> Any:
        """Upstream's `Conditionals` of a recording, on the CPU; takes seconds."""
        from chatterbox.models.s3gen import S3GEN_SR
        from chatterbox.models.s3tokenizer import S3_SR
        from chatterbox.models.t3.modules.cond_enc import T3Cond

        samples = _resampled(clip.samples, clip.sample_rate, S3GEN_SR)
        if self.variant == "turbo":
            samples = self._upstream.norm_loudness(None, samples, S3GEN_SR).astype(np.float32)
        at_16_khz = _resampled(samples, S3GEN_SR, S3_SR)
        gen = self._embed(self._listener, samples[: self._upstream.DEC_COND_LEN], S3GEN_SR, device="cpu")
        heard = at_16_khz[: self._upstream.ENC_COND_LEN]
        tokens, _ = self._listener.tokenizer.forward([heard], max_len=self._prompt_tokens)
        speaker = torch.from_numpy(self._voice_encoder.embeds_from_wavs([at_16_khz], sample_rate=S3_SR))
        t3 = T3Cond(
            speaker_emb=speaker.mean(dim=0, keepdim=True),
            cond_prompt_speech_tokens=torch.atleast_2d(tokens),
            emotion_adv=0.5 * torch.ones(1, 1, 1),
        )
        return _conditionals_class(self.variant)(t3, gen)

    def enrol(self, voice: VoiceFile) -> Any:
        """Upstream's `Conditionals` of a voice of the folder: those that were kept, if clip and model are the same.

        Raises:
            EngineRefused: The clip, or the prepared voice, cannot be used.
        """
        if voice.is_prepared:
            return self._prepared(voice.path)
        if (kept := self._kept(voice)) is not None:
            return kept
        clip = read_clip(voice.path)
        conditionals = self.listen(clip)
        kept_as = {"t3": conditionals.t3.__dict__, "gen": conditionals.gen, "clip": clip.sha256, "model": self._model}
        try:
            write_whole(voice.enrolled(self.variant), lambda path: torch.save(kept_as, path))
        except OSError as error:
            logger.warning(f"the voice {voice.name} cannot be kept and will be enrolled again: {error}")
        return conditionals

    def _kept(self, voice: VoiceFile) -> Any | None:
        path = voice.enrolled(self.variant)
        if not path.is_file():
            return None
        try:
            content = _read(path)
            is_same = content.get("clip") == digest(voice.path) and content.get("model") == self._model
            return self._checked(content) if is_same else None
        except ValueError as error:
            logger.warning(f"{path} cannot be used ({error}); the voice is enrolled again")
            return None

    def _prepared(self, path: Path) -> Any:
        try:
            return self._checked(_read(path))
        except ValueError as error:
            raise EngineRefused(f"{path.name} cannot be used as a voice: {error}") from None

    def _checked(self, content: dict[str, Any]) -> Any:
        """Upstream's `Conditionals`, once they are known to fit this variant."""
        from chatterbox.models.t3.modules.cond_enc import T3Cond

        t3, gen = content.get("t3"), content.get("gen")
        if not isinstance(t3, dict) or not isinstance(gen, dict):
            raise ValueError("expected what upstream's Conditionals.save writes: t3 and gen")
        speaker, tokens = t3.get("speaker_emb"), t3.get("cond_prompt_speech_tokens")
        if not isinstance(speaker, torch.Tensor) or speaker.shape != (1, SPEAKER_SIZE):
            raise ValueError(f"expected t3.speaker_emb of shape (1, {SPEAKER_SIZE})")
        if not isinstance(tokens, torch.Tensor) or tokens.dim() != 2 or not 0 < tokens.shape[1] <= self._prompt_tokens:
            raise ValueError(f"expected t3.cond_prompt_speech_tokens of 1 to {self._prompt_tokens} for {self.variant}")
        if missing := [key for key in GEN_KEYS if not isinstance(gen.get(key), torch.Tensor)]:
            raise ValueError(f"gen lacks {', '.join(missing)}")
        known = {name: value for name, value in t3.items() if name in T3Cond.__dataclass_fields__}
        return _conditionals_class(self.variant)(T3Cond(**known), gen)


def _read(path: Path) -> dict[str, Any]:
    """The tensors of a file; what else a pickle may hold is not run.

    Raises:
        ValueError: It is no such file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"it is not a file of tensors ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise ValueError("expected what upstream's Conditionals.save writes: t3 and gen")
    return content


def _resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    import librosa

    return samples if rate == wanted else librosa.resample(samples, orig_sr=rate, target_sr=wanted)


def _upstream_class(variant: str) -> Any:
    if variant == "turbo":
        from chatterbox.tts_turbo import ChatterboxTurboTTS

        return ChatterboxTurboTTS
    from chatterbox.tts import ChatterboxTTS

    return ChatterboxTTS


def _conditionals_class(variant: str) -> Any:
    if variant == "turbo":
        from chatterbox.tts_turbo import Conditionals

        return Conditionals
    from chatterbox.tts import Conditionals

    return Conditionals


def _fingerprint(loaded: Loaded) -> str:
    """Of what listens: other weights hear another voice."""
    hashed = hashlib.sha256()
    for module in (loaded.voice_encoder, loaded.s3gen.speaker_encoder, loaded.s3gen.tokenizer):
        last = list(module.parameters())[-1]
        hashed.update(last.detach().float().cpu().numpy().tobytes())
    return hashed.hexdigest()
