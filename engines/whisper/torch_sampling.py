"""Which token comes next: Whisper's rules on the logits and the bookkeeping of a batch, all of it on the device.

The rules are those of CTranslate2's `Whisper.generate`. A step reads and writes only tensors that stay in one place, so
that it can be captured in a CUDA graph; which rules apply is fixed when it is captured.
"""

from dataclasses import dataclass

import torch

from engines.whisper.backend import DecodeOptions
from engines.whisper.torch_tokens import WhisperTokens

IMPOSSIBLE = float("-inf")


@dataclass(frozen=True)
class Rules:
    """What differs between captured steps: whether timestamps are wanted, and whether tokens are drawn by chance."""

    timestamps: bool
    sampled: bool


class SamplingState:
    """What is known of each row of a batch, and the rules' numbers; made once for the largest batch."""

    def __init__(self, batch: int, positions: int, vocabulary: int, tokens: WhisperTokens, device: torch.device):
        """Make the tensors.

        Args:
            batch: Most rows.
            positions: Most tokens of a row.
            vocabulary: Number of tokens that the model knows.
            tokens: The model's special ones.
            device: Where the decoder runs.
        """
        self._special = tokens
        self.logits = torch.zeros(batch, vocabulary, device=device)
        self.last = torch.zeros(batch, dtype=torch.int64, device=device)
        self.finished = torch.zeros(batch, dtype=torch.bool, device=device)
        self.all_finished = torch.zeros(1, dtype=torch.bool, device=device)
        self.sum_logprob = torch.zeros(batch, device=device)
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        """Where `last` stands, the prompt counted."""
        self.step = torch.zeros(1, dtype=torch.int64, device=device)
        """Tokens chosen so far."""
        self.chosen = torch.zeros(positions, batch, dtype=torch.int64, device=device)
        self._ids = torch.arange(vocabulary, device=device)
        self._never = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self._never_first = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self._suppressed_now: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
        self._temperature = torch.ones(1, device=device)
        self._last_first_timestamp = torch.zeros(1, dtype=torch.int64, device=device)
        self._last_timestamp = torch.zeros(batch, dtype=torch.int64, device=device)
        self._is_timestamp = torch.zeros(batch, dtype=torch.bool, device=device)
        self._was_timestamp = torch.zeros(batch, dtype=torch.bool, device=device)

    def begin(self, rows: int, prompt_length: int, options: DecodeOptions) -> None:
        """Forget the last batch; rows from `rows` on are padding."""
        self._suppress(options.suppress_tokens, self._special.blank if options.suppress_blank else ())
        self._temperature.fill_(options.temperature)
        self._last_first_timestamp.fill_(self._special.first_timestamp + options.max_initial_timestamp)
        self.position.fill_(prompt_length - 1)
        self.step.zero_()
        self.sum_logprob.zero_()
        self.finished.zero_()
        self.finished[rows:] = True
        self.all_finished.zero_()
        self._last_timestamp.zero_()
        self._is_timestamp.zero_()
        # A timestamp that comes first has no pair before it and none after it.
        self._was_timestamp.fill_(True)

    def _suppress(self, tokens: tuple[int, ...], blank: tuple[int, ...]) -> None:
        # The engine asks for the same tokens every time: what is on the device already is not sent again.
        if self._suppressed_now == (tokens, blank):
            return
        never = torch.zeros(len(self._ids), dtype=torch.bool)
        never[list(tokens)] = True
        self._never.copy_(never)
        never[list(blank)] = True
        self._never_first.copy_(never)
        self._suppressed_now = (tokens, blank)

    def choose(self, rows: int, rules: Rules) -> None:
        """Choose the next token of the first `rows` rows from their `logits` and write it down."""
        logits = self._suppressed(rows)
        if rules.timestamps:
            logits = self._timed(logits, rows)
        logprobs = logits.log_softmax(dim=-1)
        chosen = self._drawn(logprobs) if rules.sampled else logits.argmax(dim=-1)
        self._write(chosen, logprobs, rows, rules)

    def _suppressed(self, rows: int) -> torch.Tensor:
        blocked = torch.where(self.step == 0, self._never_first, self._never)
        return self.logits[:rows].masked_fill(blocked, IMPOSSIBLE)

    def _timed(self, logits: torch.Tensor, rows: int) -> torch.Tensor:
        """Timestamps come in pairs, never go back, and win where they are together likelier than any text."""
        special, first = self._special, self._special.first_timestamp
        is_first = self.step == 0
        is_timestamp = self._ids >= first
        in_pair = (self._is_timestamp[:rows] & self._was_timestamp[:rows])[:, None]
        half_pair = (self._is_timestamp[:rows] & ~self._was_timestamp[:rows])[:, None]
        at_first = ~is_timestamp | (self._ids > self._last_first_timestamp)
        later = (in_pair & is_timestamp) | (half_pair & (self._ids < special.end))
        # A segment has a length: its end lies behind its beginning, while the next one may begin where it ends.
        earliest = self._last_timestamp[:rows, None] + ~half_pair
        later = later | (is_timestamp & (self._ids < earliest))
        blocked = torch.where(is_first, at_first, later) | (self._ids == special.no_timestamps)
        logits = logits.masked_fill(blocked, IMPOSSIBLE)
        together = logits[:, first:].logsumexp(dim=-1, keepdim=True)
        likeliest_text = logits[:, :first].amax(dim=-1, keepdim=True)
        wins = (together > likeliest_text) & ~is_first & ~in_pair
        return logits.masked_fill(wins & ~is_timestamp, IMPOSSIBLE)

    def _drawn(self, logprobs: torch.Tensor) -> torch.Tensor:
        # The likeliest after dividing by exponential noise is a draw from the distribution, without a sum over it.
        noise = torch.empty_like(logprobs).exponential_().clamp_min_(1e-30).log_()
        return (logprobs / self._temperature - noise).argmax(dim=-1)

    def _write(self, chosen: torch.Tensor, logprobs: torch.Tensor, rows: int, rules: Rules) -> None:
        finished = self.finished[:rows]
        gained = logprobs.gather(1, chosen[:, None])[:, 0]
        self.sum_logprob[:rows] += gained.masked_fill(finished, 0.0)
        chosen = chosen.masked_fill(finished, self._special.end)
        self.chosen[:, :rows].index_copy_(0, self.step, chosen[None])
        self.last[:rows].copy_(chosen)
        finished.logical_or_(chosen == self._special.end)
        self.all_finished.copy_(finished.all()[None])
        if rules.timestamps:
            is_timestamp = chosen >= self._special.first_timestamp
            # After the first token, which has none before it, it counts as its own predecessor.
            self._was_timestamp[:rows].copy_(self._is_timestamp[:rows] | (self.step == 0))
            self._is_timestamp[:rows].copy_(is_timestamp)
            self._last_timestamp[:rows].copy_(torch.where(is_timestamp, chosen, self._last_timestamp[:rows]))
        self.step += 1
        self.position += 1
