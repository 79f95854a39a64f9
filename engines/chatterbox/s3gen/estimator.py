"""The flow's estimator: which way the noisy mel spectrogram has to move.

Upstream's `ConditionalDecoder`. All its convolutions look back only, and rows are left-aligned: what stands in the
padding can reach a row's frames through attention alone, so only attention is masked.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from engines.chatterbox.s3gen.layers import Conv, Copier, Linear, Norm, heads, unheads


class Block(NamedTuple):
    """Attention and feed-forward."""

    norm_attention: Norm
    qkv: Linear
    heads: int
    out: Linear
    norm_feed: Norm
    widen: Linear
    narrow: Linear


class Resnet(NamedTuple):
    """Two causal convolutions with their norms, and the way around them."""

    first: Conv
    first_norm: Norm
    second: Conv
    second_norm: Norm
    around: Conv


class Level(NamedTuple):
    """A resnet, its blocks, and the convolution that ends it, which those in the middle have not."""

    resnet: Resnet
    blocks: list[Block]
    end: Conv | None


class Estimator(NamedTuple):
    """Weights of the estimator; `times` has what each Euler step adds in each level, (steps, levels, channels)."""

    down: Level
    middle: list[Level]
    up: Level
    last: Conv
    last_norm: Norm
    project: Conv
    times: torch.Tensor


def take_estimator(estimator: Any, copier: Copier, span: torch.Tensor) -> Estimator:
    """Copy the weights out of upstream's module.

    Args:
        estimator: Upstream's `ConditionalDecoder` of one level of channels.
        copier: Where to.
        span: Times of the Euler steps, the end included (steps + 1): known in advance, and with them all that the
            network makes of the time.
    """
    if len(estimator.down_blocks) != 1:
        raise ValueError(f"The estimator has {len(estimator.down_blocks)} levels of channels, expected one")
    levels = [estimator.down_blocks[0], *estimator.mid_blocks, estimator.up_blocks[0]]
    taken = [_take_level(level, copier) for level in levels]
    return Estimator(
        taken[0],
        taken[1:-1],
        taken[-1],
        copier.conv(estimator.final_block.block[0]),
        copier.norm(estimator.final_block.block[2]),
        copier.conv(estimator.final_proj),
        copier.tensor(_times(estimator, [level[0] for level in levels], span)),
    )


def estimate(weights: Estimator, x: torch.Tensor, times: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The velocity at x.

    Args:
        weights: Weights.
        x: (batch, frames, 4 × mels): noisy mel, mean, speaker, prompt's mel.
        times: One row of `Estimator.times`, (levels, channels).
        mask: What is added to the scores, see `masks.additive`.

    Returns:
        (batch, frames, mels); what stands in the padding means nothing.
    """
    x = kept = _run_level(weights.down, x, times[0], mask)
    x = _end(weights.down, x)
    for number, level in enumerate(weights.middle, 1):
        x = _run_level(level, x, times[number], mask)
    x = _run_level(weights.up, torch.cat([x, kept], dim=2), times[-1], mask)
    x = _end(weights.up, x)
    return weights.project(F.mish(weights.last_norm(weights.last.causal(x))))


def _run_level(level: Level, x: torch.Tensor, time: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    resnet = level.resnet
    inner = F.mish(resnet.first_norm(resnet.first.causal(x))) + time
    x = F.mish(resnet.second_norm(resnet.second.causal(inner))) + resnet.around(x)
    for block in level.blocks:
        x = _run_block(block, x, mask)
    return x


def _run_block(block: Block, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    parts = block.qkv(block.norm_attention(x)).chunk(3, dim=2)
    queries, keys, values = (heads(part, block.heads) for part in parts)
    heard = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    x = x + block.out(unheads(heard))
    return x + block.narrow(F.gelu(block.widen(block.norm_feed(x))))


def _end(level: Level, x: torch.Tensor) -> torch.Tensor:
    return x if level.end is None else level.end.causal(x)


def _take_level(level: Any, copier: Copier) -> Level:
    blocks = [_take_block(block, copier) for block in level[1]]
    return Level(_take_resnet(level[0], copier), blocks, copier.conv(level[2]) if len(level) > 2 else None)


def _take_resnet(resnet: Any, copier: Copier) -> Resnet:
    first, second = resnet.block1.block, resnet.block2.block
    return Resnet(
        copier.conv(first[0]),
        copier.norm(first[2]),
        copier.conv(second[0]),
        copier.norm(second[2]),
        copier.conv(resnet.res_conv),
    )


def _take_block(block: Any, copier: Copier) -> Block:
    attention, feed = block.attn1, block.ff.net
    return Block(
        copier.norm(block.norm1),
        copier.stacked(attention.to_q, attention.to_k, attention.to_v),
        attention.heads,
        copier.linear(attention.to_out[0]),
        copier.norm(block.norm3),
        copier.linear(feed[0].proj),
        copier.linear(feed[2]),
    )


@torch.no_grad()
def _times(estimator: Any, resnets: list[Any], span: torch.Tensor) -> torch.Tensor:
    """What each resnet adds at each step, by upstream's own layers, (steps, resnets, channels)."""
    weight = estimator.time_mlp.linear_1.weight

    def embed(moments: torch.Tensor) -> torch.Tensor:
        return estimator.time_mlp(estimator.time_embeddings(moments.to(weight.device)).to(weight.dtype))

    embedded = embed(span[:-1])
    if estimator.meanflow:
        embedded = estimator.time_embed_mixer(torch.cat([embedded, embed(span[1:])], dim=1))
    return torch.stack([resnet.mlp(embedded) for resnet in resnets], dim=1)
