"""Whisper's weights as torch tensors, from a CTranslate2 folder or a Hugging Face one."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from engines.errors import WeightsError
from engines.whisper.torch_ctranslate2 import CTranslate2Weights


@dataclass(frozen=True)
class Linear:
    """Weight of shape (outputs, inputs) or, of a convolution, (outputs, inputs, 3), and bias of shape (outputs,)."""

    weight: torch.Tensor
    bias: torch.Tensor | None


@dataclass(frozen=True)
class Norm:
    """Layer normalisation: both of shape (width,)."""

    weight: torch.Tensor
    bias: torch.Tensor


@dataclass(frozen=True)
class SelfAttention:
    """`qkv` holds queries, keys and values below each other."""

    norm: Norm
    qkv: Linear
    out: Linear


@dataclass(frozen=True)
class CrossAttention:
    """`kv` holds keys and values of the encoder's output below each other."""

    norm: Norm
    query: Linear
    kv: Linear
    out: Linear


@dataclass(frozen=True)
class FeedForward:
    """Two layers with a GELU between them."""

    norm: Norm
    up: Linear
    down: Linear


@dataclass(frozen=True)
class EncoderLayer:
    """One block of the encoder."""

    attention: SelfAttention
    feed_forward: FeedForward


@dataclass(frozen=True)
class DecoderLayer:
    """One block of the decoder."""

    attention: SelfAttention
    cross: CrossAttention
    feed_forward: FeedForward


@dataclass(frozen=True)
class Encoder:
    """`positions` has shape (audio positions, width); one position is 20 ms."""

    heads: int
    conv1: Linear
    conv2: Linear
    positions: torch.Tensor
    layers: tuple[EncoderLayer, ...]
    norm: Norm


@dataclass(frozen=True)
class Decoder:
    """`embeddings` and `projection`, mostly one tensor, have shape (vocabulary, width)."""

    heads: int
    embeddings: torch.Tensor
    embedding_scale: float
    positions: torch.Tensor
    layers: tuple[DecoderLayer, ...]
    norm: Norm
    projection: torch.Tensor


@dataclass(frozen=True)
class WhisperWeights:
    """A whole model on one device, in one number format."""

    encoder: Encoder
    decoder: Decoder

    @property
    def n_mels(self) -> int:
        """Mel bins of the spectrogram."""
        return self.encoder.conv1.weight.shape[1]

    @property
    def width(self) -> int:
        """Width of the model."""
        return self.encoder.positions.shape[1]

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.decoder.embeddings.shape[0]

    @property
    def max_frames(self) -> int:
        """Longest spectrogram in frames of 10 ms."""
        return 2 * self.encoder.positions.shape[0]

    @property
    def max_positions(self) -> int:
        """Most tokens, the prompt included."""
        return self.decoder.positions.shape[0]


class Source(Protocol):
    """Where the tensors come from; the names are CTranslate2's."""

    path: Path

    def tensor(self, name: str) -> torch.Tensor | None: ...

    def scalar(self, name: str) -> int | None: ...

    def close(self) -> None: ...


def read_weights(folder: Path, device: torch.device, dtype: torch.dtype) -> WhisperWeights:
    """Read the model in `folder` straight to a device, one tensor at a time.

    Raises:
        WeightsError: A file is missing or damaged, or a tensor is missing or has an unexpected shape.
    """
    source = _open(folder)
    try:
        return _Assembly(source, device, dtype).model()
    finally:
        source.close()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        WeightsError: The file is missing or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing; expected a JSON object") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged ({error}); expected a JSON object") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}; expected a JSON object")
    return content


def _open(folder: Path) -> Source:
    if not folder.is_dir():
        raise WeightsError(f"{folder} is not a folder; expected one with model.bin or model.safetensors")
    if (folder / "model.bin").is_file():
        return CTranslate2Weights(folder / "model.bin")
    # Only a Hugging Face folder needs the library.
    from engines.whisper.torch_safetensors import SafetensorsWeights

    return SafetensorsWeights(folder, read_json(folder / "config.json"))


class _Assembly:
    """Puts a model together from a source and checks the shapes on the way."""

    def __init__(self, source: Source, device: torch.device, dtype: torch.dtype):
        self._source = source
        self._device = device
        self._dtype = dtype
        self._width = self._raw("encoder/conv1/weight").shape[0]

    def model(self) -> WhisperWeights:
        n_mels = self._raw("encoder/conv1/weight").shape[1]
        encoder = Encoder(
            heads=self._heads("encoder"),
            conv1=self._linear("encoder/conv1", self._width, n_mels, 3),
            conv2=self._linear("encoder/conv2", self._width, self._width, 3),
            positions=self._tensor("encoder/position_encodings/encodings", -1, self._width),
            layers=tuple(
                EncoderLayer(self._self_attention(scope), self._feed_forward(scope))
                for scope in self._layers("encoder")
            ),
            norm=self._norm("encoder/layer_norm"),
        )
        embeddings = self._tensor("decoder/embeddings/weight", -1, self._width)
        decoder = Decoder(
            heads=self._heads("decoder"),
            embeddings=embeddings,
            embedding_scale=math.sqrt(self._width) if self._source.scalar("decoder/scale_embeddings") else 1.0,
            positions=self._tensor("decoder/position_encodings/encodings", -1, self._width),
            layers=tuple(
                DecoderLayer(self._self_attention(scope), self._cross(scope), self._feed_forward(scope))
                for scope in self._layers("decoder")
            ),
            norm=self._norm("decoder/layer_norm"),
            projection=self._projection(embeddings),
        )
        return WhisperWeights(encoder, decoder)

    def _projection(self, embeddings: torch.Tensor) -> torch.Tensor:
        # Whisper projects with its embeddings; the converters store them once.
        raw = self._source.tensor("decoder/projection/weight")
        if raw is None or torch.equal(raw.to(self._dtype), embeddings.cpu()):
            return embeddings
        return self._tensor("decoder/projection/weight", *embeddings.shape)

    def _self_attention(self, scope: str) -> SelfAttention:
        scope = f"{scope}/self_attention"
        return SelfAttention(
            norm=self._norm(f"{scope}/layer_norm"),
            qkv=self._linear(f"{scope}/linear_0", 3 * self._width, self._width),
            out=self._linear(f"{scope}/linear_1", self._width, self._width),
        )

    def _cross(self, scope: str) -> CrossAttention:
        scope = f"{scope}/attention"
        return CrossAttention(
            norm=self._norm(f"{scope}/layer_norm"),
            query=self._linear(f"{scope}/linear_0", self._width, self._width),
            kv=self._linear(f"{scope}/linear_1", 2 * self._width, self._width),
            out=self._linear(f"{scope}/linear_2", self._width, self._width),
        )

    def _feed_forward(self, scope: str) -> FeedForward:
        inner = self._raw(f"{scope}/ffn/linear_0/weight").shape[0]
        return FeedForward(
            norm=self._norm(f"{scope}/ffn/layer_norm"),
            up=self._linear(f"{scope}/ffn/linear_0", inner, self._width),
            down=self._linear(f"{scope}/ffn/linear_1", self._width, inner),
        )

    def _layers(self, side: str) -> list[str]:
        scopes: list[str] = []
        while self._source.tensor(f"{side}/layer_{len(scopes)}/ffn/linear_1/bias") is not None:
            scopes.append(f"{side}/layer_{len(scopes)}")
        if not scopes:
            raise WeightsError(f"{self._source.path} has no layers of the {side}; expected {side}/layer_0")
        return scopes

    def _heads(self, side: str) -> int:
        heads = self._source.scalar(f"{side}/num_heads")
        if not heads or self._width % heads:
            raise WeightsError(
                f"{self._source.path} has {heads} heads in the {side}; expected a divisor of the width {self._width}"
            )
        return heads

    def _norm(self, scope: str) -> Norm:
        return Norm(self._tensor(f"{scope}/gamma", self._width), self._tensor(f"{scope}/beta", self._width))

    def _linear(self, scope: str, *shape: int) -> Linear:
        if self._source.tensor(f"{scope}/weight_zero") is not None:
            raise WeightsError(f"{self._source.path}: {scope} is quantised with zero points; expected floats or int8")
        weight = self._tensor(f"{scope}/weight", *shape)
        bias = None if self._source.tensor(f"{scope}/bias") is None else self._tensor(f"{scope}/bias", shape[0])
        return Linear(weight, bias)

    def _tensor(self, name: str, *shape: int) -> torch.Tensor:
        """One tensor where it will stay; -1 stands for any length."""
        raw = self._raw(name)
        if len(raw.shape) != len(shape) or any(e not in (-1, found) for e, found in zip(shape, raw.shape, strict=True)):
            raise WeightsError(f"{self._source.path}: {name} has shape {list(raw.shape)}; expected {list(shape)}")
        # Converted before it travels: the device never holds it in a second, larger format.
        return raw.to(self._dtype).to(self._device).contiguous()

    def _raw(self, name: str) -> torch.Tensor:
        raw = self._source.tensor(name)
        if raw is None:
            raise WeightsError(f"{self._source.path} lacks {name}; expected a Whisper model")
        return raw
