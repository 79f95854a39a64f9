"""`fused.Fused` as one Triton kernel. Importing this needs Triton."""

from collections.abc import Sequence

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from engines.chatterbox.s3gen.fused import Leaky, Snake

BLOCK = 1024
NONE, SNAKE, LEAKY = 0, 1, 2


@triton.jit
def _kernel(
    x,
    bias,
    plus,
    more,
    alpha,
    inverse,
    lengths,
    total,
    active,
    channels,
    positions,
    slope,
    scale,
    HAS_BIAS: tl.constexpr,
    HAS_PLUS: tl.constexpr,
    HAS_MORE: tl.constexpr,
    KEEP: tl.constexpr,
    ACTIVATION: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    SIZE: tl.constexpr,
):
    row = tl.program_id(1).to(tl.int64)
    count = channels * positions
    within = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    valid = within < count
    place = row * count + within
    if CHANNELS_LAST:
        channel = within % channels
        position = within // channels
    else:
        channel = within // positions
        position = within % positions
    value = tl.load(x + place, mask=valid, other=0.0).to(tl.float32)
    if HAS_BIAS:
        value += tl.load(bias + channel, mask=valid, other=0.0).to(tl.float32)
    if HAS_PLUS:
        value += tl.load(plus + place, mask=valid, other=0.0).to(tl.float32)
    if HAS_MORE:
        value += tl.load(more + place, mask=valid, other=0.0).to(tl.float32)
    if KEEP:
        tl.store(total + place, value.to(total.dtype.element_ty), mask=valid)
    if ACTIVATION == 1:
        sine = tl.sin(value * tl.load(alpha + channel, mask=valid, other=0.0).to(tl.float32))
        value += tl.load(inverse + channel, mask=valid, other=0.0).to(tl.float32) * sine * sine
    elif ACTIVATION == 2:
        value *= scale
        value = tl.where(value > 0, value, value * slope)
    if ACTIVATION != 0:
        value = tl.where(position < tl.load(lengths + row), value, 0.0)
        tl.store(active + place, value.to(active.dtype.element_ty), mask=valid)


def fused_by_triton(
    x: torch.Tensor,
    lengths: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    plus: Sequence[torch.Tensor] = (),
    activation: Snake | Leaky | None = None,
    keep: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """See `Fused`. Sums are made in float32 whatever the tensors are."""
    last = not x.is_contiguous()
    layout = torch.channels_last if last else torch.contiguous_format
    x, *plus = (part.contiguous(memory_format=layout) for part in (x, *plus))
    keep = keep or activation is None
    total = torch.empty_like(x) if keep else x
    active = x if activation is None else torch.empty_like(x)
    snake = activation if isinstance(activation, Snake) else None
    leaky = activation if isinstance(activation, Leaky) else Leaky(1.0)
    batch, channels, _, positions = x.shape
    grid = (triton.cdiv(channels * positions, BLOCK), batch)
    _kernel[grid](  # pyright: ignore[reportIndexIssue]
        x,
        x if bias is None else bias,
        plus[0] if plus else x,
        plus[1] if len(plus) > 1 else x,
        snake.alpha if snake else x,
        snake.inverse if snake else x,
        lengths,
        total,
        active,
        channels,
        positions,
        leaky.slope,
        leaky.scale,
        HAS_BIAS=bias is not None,
        HAS_PLUS=len(plus) > 0,
        HAS_MORE=len(plus) > 1,
        KEEP=keep,
        ACTIVATION=NONE if activation is None else SNAKE if snake else LEAKY,
        CHANNELS_LAST=last,
        SIZE=BLOCK,
    )
    if activation is None:
        return total, total
    return (total if keep else active), active
