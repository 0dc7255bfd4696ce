"""Games: what the interaction analysis plays with. A game maps coalitions of players to scores.

A coalition is a row of bools, True = player present. Estimators know games only, never images or models; ``PatchGame``
makes one from a classifier and an image, whose players are the cells of a grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from a2mim import seeds
from a2mim.errors import InputError, RunError
from a2mim.masking import paste, replacement

from ..core.arrays import Bools, Floats
from ..core.choices import BASELINES
from ..core.grids import check_grid
from ..core.networks import eval_mode, full_precision, memory_format, out_of_memory


class Game(Protocol):
    """Any callable from coalitions, bool (n, players), True = present, to n finite scores.

    It may also carry ``id`` (which image it is, for the seeds of the draws) and ``grid`` (rows, cols of its players).
    """

    def __call__(self, coalitions: Bools, /) -> npt.ArrayLike: ...


def log_odds(logits: torch.Tensor, label: int) -> torch.Tensor:
    """log p/(1 − p) of the label's class (appendix B.2) = z_y − logsumexp of the others; (B, classes) -> (B,).

    Written over the logits, since 1 − p is zero in floats for a model that is sure.
    """
    others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
    return logits[:, label] - others.logsumexp(dim=1)


def log_prob(logits: torch.Tensor, label: int) -> torch.Tensor:
    """log p of the label's class; (B, classes) -> (B,)."""
    return logits[:, label] - logits.logsumexp(dim=1)


def logit(logits: torch.Tensor, label: int) -> torch.Tensor:
    """z_y, the label's logit as the model gives it; (B, classes) -> (B,)."""
    return logits[:, label]


SCORES: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "log-odds": log_odds,
    "log-prob": log_prob,
    "logit": logit,
}


class PatchGame:
    """f(S) of section 3.2: the score of an image of which only the cells in S are shown, the others set to a baseline.

    Args:
        model: classifier, images (B, 3, H, W) -> logits (B, classes). It is run in eval mode, in the precision of its
            weights without TF32 or autocast, and left in the mode it was found in.
        image: (3, H, W), normalised as the model expects.
        label: class whose score is asked for.
        grid: (rows, cols) of players; they divide H and W. Player k is the cell of row k // cols, column k % cols.
        baseline: what hidden patches are replaced with: ``dataset-mean`` (0 after normalisation, the published choice),
            ``image-mean``, ``black`` (needs ``mean`` and ``std``), ``blur``, ``noise``, or a tensor that broadcasts to
            (3, H, W).
        score: ``log-odds`` (the paper's), ``log-prob`` or ``logit``.
        batch_size: coalitions in one forward pass; speed and memory only. It is halved when memory runs out.
        amp: run in bfloat16 under autocast. Four scores nearly cancel, so that its rounding is noise (``amp_noise``).
        mean, std: normalisation of the image, in units of [0, 1] pixels; for ``black``.
        device: where the model lies; without it, the device of its first parameter.
        id: which image this is; names the seeds of its draws, so give all models the same id for the same image.

    Example:
        >>> import numpy as np, torch
        >>> brightness = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        >>> game = PatchGame(brightness, torch.ones(3, 4, 4), label=0, grid=(2, 2), score="logit")
        >>> game(np.array([[True] * 4, [True, False, False, False]]))
        array([1.  , 0.25])

    Raises:
        InputError: an image of another shape, a label outside the classes, a grid that does not divide the image, an
            unknown baseline or score.
    """

    def __init__(
        self,
        model: nn.Module,
        image: torch.Tensor,
        label: int,
        grid: tuple[int, int],
        *,
        baseline: str | torch.Tensor = "dataset-mean",
        score: str = "log-odds",
        batch_size: int = 64,
        amp: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        device: torch.device | str | None = None,
        id: int | str | None = None,
    ) -> None:
        if score not in SCORES:
            raise InputError(f"unknown score '{score}'; known: {', '.join(SCORES)}")
        if batch_size < 1:
            raise InputError(f"batch size {batch_size} is not a positive number")
        if label < 0:
            raise InputError(f"label {label}: the image has no class, and the score is that of its class")
        if image.ndim != 3 or image.shape[0] != 3:
            raise InputError(f"image must be (3, H, W), got {tuple(image.shape)}")
        check_grid(grid, *image.shape[1:])
        weight = next(model.parameters(), torch.empty(0))
        self.model, self.label, self.grid, self.id = model, int(label), (int(grid[0]), int(grid[1])), id
        self.score, self.batch_size, self.amp = score, batch_size, amp
        self.device = torch.device(device) if device is not None else weight.device
        self.image = image.to(self.device, weight.dtype)
        self.baseline = _baseline(self.image, baseline, mean=mean, std=std, id=id)
        self._format = memory_format(model)

    @property
    def n_players(self) -> int:
        """Cells of the grid."""
        return self.grid[0] * self.grid[1]

    def __call__(self, coalitions: npt.ArrayLike) -> Floats:
        """f(S) for each coalition: bool (n, players), True = present -> float64 (n,).

        Only the scores are kept, so memory depends on ``batch_size`` alone.

        Raises:
            InputError: coalitions of another width or type, or a model that gives no logits for the label.
            RunError: scores that are not finite.
        """
        present = torch.from_numpy(check_coalitions(coalitions, self.n_players))
        scores = np.empty(len(present))
        precision = torch.autocast(self.device.type, torch.bfloat16) if self.amp else full_precision(self.device)
        with torch.inference_mode(), eval_mode(self.model), precision:
            start = 0
            while start < len(present):
                batch = present[start : start + self.batch_size].to(self.device)
                try:
                    logits = self.model(self.render(_filled_up(batch, self.batch_size)))[: len(batch)]
                except RuntimeError as error:
                    if len(batch) == 1 or not out_of_memory(error):
                        raise
                    self.batch_size = len(batch) // 2
                    continue
                scores[start : start + len(batch)] = self._scores(logits, len(batch))
                start += len(batch)
        return check_scores(scores, len(present))

    def render(self, present: torch.Tensor) -> torch.Tensor:
        """The images that the model sees: bool (n, players) -> (n, 3, H, W)."""
        shown, absent = (one[None].contiguous(memory_format=self._format) for one in (self.image, self.baseline))
        return paste(shown, absent, ~present.view(-1, *self.grid))

    def _scores(self, logits: torch.Tensor, n: int) -> Floats:
        if logits.ndim != 2 or len(logits) != n:
            raise InputError(
                f"the model gives {tuple(logits.shape)} for {n} images; a classifier gives (images, classes)"
            )
        classes = logits.shape[1]
        if self.label >= classes:
            raise InputError(f"label {self.label} is outside the model's {classes} classes (0 to {classes - 1})")
        if classes < 2 and self.score == "log-odds":
            raise InputError("score 'log-odds' needs two classes or more, the model has one; use score 'logit'")
        # float64 on the CPU: not every accelerator has it, and these numbers are few
        return SCORES[self.score](logits.cpu().double(), self.label).numpy()


def amp_noise(game: PatchGame, n: int = 256) -> tuple[float, float]:
    """What bfloat16 does to a score: standard deviations of (its rounding, the score) over n random coalitions."""
    rng = seeds.numpy_generator("amp", str(game.id))
    coalitions = rng.random((n, game.n_players)) < rng.random((n, 1))
    kept, scores = game.amp, []
    try:
        for game.amp in (False, True):
            scores.append(game(coalitions))
    finally:
        game.amp = kept
    return float((scores[1] - scores[0]).std()), float(scores[0].std())


def _filled_up(batch: torch.Tensor, full: int) -> torch.Tensor:
    """The last coalition again until the number is a power of two or a full batch.

    Libraries of kernels prepare themselves for each new batch size, which takes longer than the batch does.
    """
    size = min(full, 1 << (len(batch) - 1).bit_length())
    return torch.cat([batch, batch[-1:].expand(size - len(batch), -1)]) if size > len(batch) else batch


def check_coalitions(coalitions: npt.ArrayLike, n_players: int) -> Bools:
    """The coalitions as a bool array (n, players), or InputError."""
    array = np.array(coalitions, order="C")  # a copy: torch refuses to share read-only arrays
    if array.ndim != 2 or array.shape[1] != n_players or array.dtype != np.bool_:
        raise InputError(f"coalitions must be bool (n, {n_players} players), got {array.dtype} {array.shape}")
    return array


def check_scores(scores: npt.ArrayLike, n: int) -> Floats:
    """What a game gave for n coalitions, as float64 (n,).

    Raises:
        InputError: another shape.
        RunError: scores that are not finite.
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.shape != (n,):
        raise InputError(f"the game gives shape {array.shape} for {n} coalitions; it must give ({n},), one score each")
    broken = n - int(np.isfinite(array).sum())
    if broken:
        raise RunError(
            f"{broken} of {n} scores are not finite; look at the model's weights and at the image's normalisation"
        )
    return array


def _baseline(image: torch.Tensor, baseline: str | torch.Tensor, *, id: int | str | None, **needs: Any) -> torch.Tensor:
    """The baseline as an image (3, H, W)."""
    if isinstance(baseline, str) and baseline not in BASELINES:
        raise InputError(f"unknown baseline '{baseline}'; known: {', '.join(BASELINES)}, or a tensor")
    noise = seeds.generator("baseline", str(id))
    filled = replacement(image[None], baseline, generator=noise, **needs)
    try:
        return filled.broadcast_to(1, *image.shape)[0]
    except RuntimeError:
        raise InputError(
            f"a baseline of shape {tuple(filled.shape)} does not broadcast to the image's {tuple(image.shape)}"
        ) from None
