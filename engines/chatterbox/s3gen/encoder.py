"""The flow's encoder: speech tokens to the mean of the mel spectrogram, two frames a token.

Upstream's `UpsampleConformerEncoder` with its embedding before and its projection after, over ragged rows: exact for
every row, with no wait for the device and no size that depends on the data.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from engines.chatterbox.s3gen.layers import Conv, Copier, Linear, Norm, heads, unheads
from engines.chatterbox.s3gen.masks import hidden_keys, inside


class Layer(NamedTuple):
    """One conformer layer, which upstream builds without its convolution and without the macaron half."""

    norm_attention: Norm
    qkv: Linear
    content_bias: torch.Tensor
    """Added to the queries before they meet the keys, (heads, 1, channels of a head)."""
    place_bias: torch.Tensor
    """Added to the queries before they meet the places."""
    places: torch.Tensor
    """Projected relative places (heads, 2 × most - 1, channels of a head), the furthest past first."""
    out: Linear
    norm_feed: Norm
    widen: Linear
    narrow: Linear


class Stage(NamedTuple):
    """Layers at one rate, and what comes before them."""

    embed: Linear
    norm: Norm
    scale: float
    layers: list[Layer]


class Encoder(NamedTuple):
    """Weights of the encoder."""

    embedding: torch.Tensor
    tokens: Stage
    look_ahead: Conv
    look_back: Conv
    upsample: Conv
    frames: Stage
    norm: Norm
    project: Linear


def take_encoder(flow: Any, copier: Copier, most: int) -> Encoder:
    """Copy the weights out of upstream's flow, for rows of at most `most` tokens."""
    encoder = flow.encoder
    ahead = encoder.pre_lookahead_layer
    return Encoder(
        copier.tensor(flow.input_embedding.weight),
        _take_stage(encoder.embed, encoder.encoders, copier, most),
        copier.conv(ahead.conv1),
        copier.conv(ahead.conv2),
        copier.conv(encoder.up_layer.conv),
        _take_stage(encoder.up_embed, encoder.up_encoders, copier, 2 * most),
        copier.norm(encoder.after_norm),
        copier.linear(flow.encoder_proj),
    )


def encode(
    encoder: Encoder, tokens: torch.Tensor, lengths: torch.Tensor, chunks: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean of the mel spectrogram.

    Args:
        encoder: Weights.
        tokens: (batch, positions), int64; any valid id in the padding.
        lengths: Tokens of each row, at least one.
        chunks: (batch, positions) for chunked attention, see `masks.hidden_keys`.

    Returns:
        (batch, 2 × positions, mels); what stands in the padding means nothing.
    """
    size = tokens.shape[1]
    x = _embed(encoder.tokens, F.embedding(tokens, encoder.embedding))
    # The embedding's bias would reach the row's last tokens through the convolution that looks ahead.
    x = x * inside(lengths, size).unsqueeze(2)
    ahead = F.leaky_relu(encoder.look_ahead(x, right=encoder.look_ahead.weight.shape[3] - 1))
    x = encoder.look_back.causal(ahead) + x
    hidden = hidden_keys(lengths, size, chunks)
    for layer in encoder.tokens.layers:
        x = _run_layer(layer, x, hidden)
    x = encoder.upsample.causal(x.repeat_interleave(2, dim=1))
    x = _embed(encoder.frames, x)
    hidden = hidden_keys(2 * lengths, 2 * size, None if chunks is None else chunks.repeat_interleave(2, dim=1))
    for layer in encoder.frames.layers:
        x = _run_layer(layer, x, hidden)
    return encoder.project(encoder.norm(x))


def _embed(stage: Stage, x: torch.Tensor) -> torch.Tensor:
    return stage.norm(stage.embed(x)) * stage.scale


def _run_layer(layer: Layer, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    normed = layer.norm_attention(x)
    count = layer.content_bias.shape[0]
    queries, keys, values = (heads(part, count) for part in layer.qkv(normed).chunk(3, dim=2))
    bias = _scores_of_places(layer, queries).masked_fill(hidden, float("-inf"))
    heard = F.scaled_dot_product_attention(queries + layer.content_bias, keys, values, attn_mask=bias)
    x = x + layer.out(unheads(heard))
    return x + layer.narrow(F.silu(layer.widen(layer.norm_feed(x))))


def _scores_of_places(layer: Layer, queries: torch.Tensor) -> torch.Tensor:
    """What the distance between query and key adds to the score, (batch, heads, positions, positions)."""
    batch, count, size, width = queries.shape
    middle = layer.places.shape[1] // 2
    places = layer.places[:, middle - size + 1 : middle + size]
    scaled = ((queries + layer.place_bias) / math.sqrt(width)).transpose(0, 1).flatten(1, 2)
    scores = torch.matmul(scaled, places.transpose(1, 2)).view(count, batch, size, 2 * size - 1)
    # Query i meets key j at place size - 1 - i + j: the same memory, read with rows one shorter.
    per_head, per_row, per_query, _ = scores.stride()
    stride = (per_row, per_head, per_query - 1, 1)
    return scores.as_strided((batch, count, size, size), stride, scores.storage_offset() + size - 1)


def _take_stage(embed: Any, layers: Any, copier: Copier, most: int) -> Stage:
    linear, norm = embed.out[0], embed.out[1]
    places = _places(most, norm.normalized_shape[0])
    taken = [_take_layer(layer, copier, places) for layer in layers]
    return Stage(copier.linear(linear), copier.norm(norm), float(embed.pos_enc.xscale), taken)


def _take_layer(layer: Any, copier: Copier, places: torch.Tensor) -> Layer:
    attention, feed = layer.self_attn, layer.feed_forward
    projected = F.linear(places.to(attention.linear_pos.weight.device), attention.linear_pos.weight.detach().float())
    return Layer(
        copier.norm(layer.norm_mha),
        copier.stacked(attention.linear_q, attention.linear_k, attention.linear_v),
        copier.tensor(attention.pos_bias_u.unsqueeze(1)),
        copier.tensor(attention.pos_bias_v.unsqueeze(1)),
        copier.tensor(projected.unflatten(1, (attention.h, -1)).transpose(0, 1)).contiguous(),
        copier.linear(attention.linear_out),
        copier.norm(layer.norm_ff),
        copier.linear(feed.w_1),
        copier.linear(feed.w_2),
    )


def _places(most: int, width: int) -> torch.Tensor:
    """Sinusoids of the distances most - 1 down to 1 - most, (2 × most - 1, width)."""
    distances = torch.arange(most - 1, -most, -1, dtype=torch.float32).unsqueeze(1)
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * -(math.log(10000.0) / width))
    return torch.stack([torch.sin(distances * rates), torch.cos(distances * rates)], dim=2).flatten(1)
