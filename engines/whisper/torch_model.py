"""Whisper's encoder and decoder as functions of their weights.

The cache of keys and values has the position as its first axis: a step attends to the first positions of one block of
memory, however many there are room for, and what a batch was given before it grows stays where it is.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from engines.whisper.torch_weights import (
    CrossAttention,
    Decoder,
    Encoder,
    FeedForward,
    Linear,
    Norm,
    SelfAttention,
    WhisperWeights,
)


@dataclass(frozen=True)
class CrossCache:
    """Keys and values of the encoder's output, one tensor (batch, audio positions, 2, heads, head width) a layer."""

    layers: list[torch.Tensor]


@dataclass(frozen=True)
class SelfCache:
    """Keys and values of the tokens, one tensor (positions, 2, batch, heads, head width) a layer."""

    layers: list[torch.Tensor]


def encode(encoder: Encoder, features: torch.Tensor) -> torch.Tensor:
    """Spectrograms (batch, mels, frames) to audio positions (batch, frames / 2, width)."""
    hidden = F.gelu(F.conv1d(features, encoder.conv1.weight, encoder.conv1.bias, padding=1))
    hidden = F.gelu(F.conv1d(hidden, encoder.conv2.weight, encoder.conv2.bias, stride=2, padding=1)).transpose(1, 2)
    hidden = hidden + encoder.positions[: hidden.shape[1]]
    for layer in encoder.layers:
        query, key, value = _queries_keys_values(layer.attention, encoder.heads, hidden)
        heard = F.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
        hidden = hidden + _linear(layer.attention.out, heard.transpose(1, 2).flatten(2))
        hidden = _feed_forward(layer.feed_forward, hidden)
    return _norm(encoder.norm, hidden)


def project_audio(decoder: Decoder, audio: torch.Tensor, cache: CrossCache) -> None:
    """Write every decoder layer's keys and values of the encoder's output (batch, positions, width) into `cache`."""
    flat = audio.flatten(0, 1)
    for layer, kept in zip(decoder.layers, cache.layers, strict=True):
        matrix = kept.view(flat.shape[0], -1)
        bias = layer.cross.kv.bias
        if bias is None:
            torch.mm(flat, layer.cross.kv.weight.t(), out=matrix)
        else:
            torch.addmm(bias, flat, layer.cross.kv.weight.t(), out=matrix)


def decode_prompt(decoder: Decoder, tokens: torch.Tensor, cross: CrossCache, cache: SelfCache) -> torch.Tensor:
    """Read a prompt from its beginning and keep its keys and values.

    Args:
        decoder: Weights.
        tokens: Shape (batch, n).
        cross: The batch's audio.
        cache: Its first n positions are written.

    Returns:
        Hidden states (batch, n, width) behind the last normalisation.
    """
    length = tokens.shape[1]
    hidden = _embed(decoder, tokens, decoder.positions[:length])
    for layer, heard, kept in zip(decoder.layers, cross.layers, cache.layers, strict=True):
        query, key, value = _queries_keys_values(layer.attention, decoder.heads, hidden)
        kept[:length, 0].copy_(key.transpose(0, 1))
        kept[:length, 1].copy_(value.transpose(0, 1))
        read = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), is_causal=length > 1
        )
        hidden = hidden + _linear(layer.attention.out, read.transpose(1, 2).flatten(2))
        hidden = hidden + _listen(layer.cross, decoder.heads, hidden, heard)
        hidden = _feed_forward(layer.feed_forward, hidden)
    return _norm(decoder.norm, hidden)


def decode_step(
    decoder: Decoder, tokens: torch.Tensor, position: torch.Tensor, cross: CrossCache, cache: SelfCache
) -> torch.Tensor:
    """Read one more token of every row.

    Args:
        decoder: Weights.
        tokens: Shape (batch,).
        position: Shape (1,): where the tokens stand, the same for all rows, on the device.
        cross: The batch's audio.
        cache: All of its positions are looked at up to `position`, which is written.

    Returns:
        Hidden states (batch, width) behind the last normalisation.
    """
    hidden = _embed(decoder, tokens[:, None], decoder.positions.index_select(0, position))
    places = torch.arange(cache.layers[0].shape[0], device=tokens.device)
    # Added to the scores: a mask of truth values would be converted again in every layer.
    unseen = torch.zeros_like(places, dtype=hidden.dtype).masked_fill(places > position, float("-inf"))[
        None, None, None
    ]
    for layer, heard, kept in zip(decoder.layers, cross.layers, cache.layers, strict=True):
        attention = layer.attention
        split = _linear(attention.qkv, _norm(attention.norm, hidden)).unflatten(2, (3, decoder.heads, -1))
        # (batch, 1, 2, heads, head width) to (1, 2, batch, heads, head width)
        kept.index_copy_(0, position, split[:, :, 1:].permute(1, 2, 0, 3, 4))
        keys, values = kept.permute(1, 2, 3, 0, 4).unbind(0)
        read = F.scaled_dot_product_attention(split[:, :, 0].transpose(1, 2), keys, values, attn_mask=unseen)
        hidden = hidden + _linear(attention.out, read.transpose(1, 2).flatten(2))
        hidden = hidden + _listen(layer.cross, decoder.heads, hidden, heard)
        hidden = _feed_forward(layer.feed_forward, hidden)
    return _norm(decoder.norm, hidden)[:, 0]


def decode_with_attention(
    decoder: Decoder, tokens: torch.Tensor, cross: CrossCache, heads: tuple[tuple[int, int], ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Read whole texts and say where some heads listened.

    Args:
        decoder: Weights.
        tokens: Shape (batch, n).
        cross: The batch's audio.
        heads: Layer and head of each head that is asked for.

    Returns:
        Hidden states (batch, n, width), and the heads' scores before the softmax, (batch, heads asked for, n, audio
        positions).
    """
    hidden = _embed(decoder, tokens, decoder.positions[: tokens.shape[1]])
    scores: dict[tuple[int, int], torch.Tensor] = {}
    for number, (layer, heard) in enumerate(zip(decoder.layers, cross.layers, strict=True)):
        query, key, value = _queries_keys_values(layer.attention, decoder.heads, hidden)
        read = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), is_causal=True
        )
        hidden = hidden + _linear(layer.attention.out, read.transpose(1, 2).flatten(2))
        for asked in [asked for asked in heads if asked[0] == number]:
            scores[asked] = _scores(layer.cross, decoder.heads, asked[1], hidden, heard)
        hidden = hidden + _listen(layer.cross, decoder.heads, hidden, heard)
        hidden = _feed_forward(layer.feed_forward, hidden)
    return _norm(decoder.norm, hidden), torch.stack([scores[asked] for asked in heads], dim=1)


def logits_of(decoder: Decoder, hidden: torch.Tensor) -> torch.Tensor:
    """Logits (..., vocabulary) in float32 of hidden states (..., width)."""
    return F.linear(hidden, decoder.projection).float()


def new_cross_cache(weights: WhisperWeights, storages: list[torch.Tensor], batch: int, positions: int) -> CrossCache:
    """The beginning of each layer's memory as keys and values of `batch` utterances of `positions` audio positions."""
    shape = (batch, positions, 2, weights.decoder.heads, weights.width // weights.decoder.heads)
    size = batch * positions * 2 * weights.width
    return CrossCache([storage[:size].view(shape) for storage in storages])


def new_self_cache(weights: WhisperWeights, storages: list[torch.Tensor], batch: int, positions: int) -> SelfCache:
    """The beginning of each layer's memory as keys and values of `positions` tokens of `batch` utterances."""
    shape = (positions, 2, batch, weights.decoder.heads, weights.width // weights.decoder.heads)
    size = positions * 2 * batch * weights.width
    return SelfCache([storage[:size].view(shape) for storage in storages])


def _embed(decoder: Decoder, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    embedded = F.embedding(tokens, decoder.embeddings)
    if decoder.embedding_scale != 1:
        embedded = embedded * decoder.embedding_scale
    return embedded + positions


def _queries_keys_values(attention: SelfAttention, heads: int, hidden: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Each of shape (batch, n, heads, head width)."""
    return _linear(attention.qkv, _norm(attention.norm, hidden)).unflatten(2, (3, heads, -1)).unbind(2)


def _listen(cross: CrossAttention, heads: int, hidden: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
    query = _linear(cross.query, _norm(cross.norm, hidden)).unflatten(2, (heads, -1)).transpose(1, 2)
    keys, values = heard.unbind(2)
    read = F.scaled_dot_product_attention(query, keys.transpose(1, 2), values.transpose(1, 2))
    return _linear(cross.out, read.transpose(1, 2).flatten(2))


def _scores(cross: CrossAttention, heads: int, head: int, hidden: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
    """Scores of one head before the softmax, (batch, n, audio positions)."""
    query = _linear(cross.query, _norm(cross.norm, hidden)).unflatten(2, (heads, -1))[:, :, head]
    return (query * query.shape[-1] ** -0.5) @ heard[:, :, 0, head].transpose(1, 2)


def _feed_forward(layer: FeedForward, hidden: torch.Tensor) -> torch.Tensor:
    return hidden + _linear(layer.down, F.gelu(_linear(layer.up, _norm(layer.norm, hidden))))


def _norm(norm: Norm, hidden: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(hidden, norm.weight.shape, norm.weight, norm.bias)


def _linear(linear: Linear, hidden: torch.Tensor) -> torch.Tensor:
    return F.linear(hidden, linear.weight, linear.bias)
