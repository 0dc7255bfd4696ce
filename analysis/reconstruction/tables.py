"""Tables of reconstructions: errors image by image, averages with intervals, and errors by frequency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..core import statistics
from ..core.analysis import Gathered
from ..core.arrays import Arrays, Floats
from .errors import band_edges
from .settings import TOKENS

Key = tuple[str, str]  # checkpoint, token


def tables(gathered: Sequence[Gathered]) -> dict[str, pd.DataFrame]:
    """Errors of each image, their averages and paired differences, error and energy by frequency."""
    found, seed = by_token(gathered), gathered[0].settings["seed"]
    table = _stack({key: pd.DataFrame({name: one[name] for name in _columns(one)}) for key, one in found.items()})
    return {"": table, "summary": _summary(found, seed), "bands": _bands(found, seed)}


def by_token(gathered: Sequence[Gathered]) -> dict[Key, Arrays]:
    """The arrays of each network with and without its token, as far as they were measured."""
    return {
        (one.name, token): {key: _variant(one, key, place) for key in one.parts[0]}
        for one in gathered
        for place, token in enumerate(TOKENS[one.settings["token"]])
    }


def _variant(one: Gathered, key: str, place: int) -> Floats:
    """An array of all images, of the token's variant at ``place`` where there are several."""
    whole = one.joined(key)
    return whole if key.endswith("image") else whole[:, place]


def _columns(found: Arrays) -> list[str]:
    return [name for name in ("image", "l1", "psnr", "ssim") if name in found]


def _against(keys: Sequence[Key]) -> dict[Key, Key]:
    """What each is compared with: the same model with its token where that is there, else the first of all."""
    wanted = {(name, token): (name, "with") if token == "without" else keys[0] for name, token in keys}
    return {key: other if other in wanted else keys[0] for key, other in wanted.items() if key != keys[0]}


def _compared(values: Mapping[Key, np.ndarray], seed: int) -> dict[Key, pd.DataFrame]:
    """``statistics.compare`` with a column ``against``, the name of the other."""
    against = _against(list(values))
    names = {key: title(*other) for key, other in against.items()}
    tables = statistics.compare(values, against, seed)
    return {key: rows.assign(against=names.get(key, "")) for key, rows in tables.items()}


def _summary(found: Mapping[Key, Arrays], seed: int) -> pd.DataFrame:
    """Averages over images of L1, PSNR and SSIM, and paired differences."""
    measures = _columns(next(iter(found.values())))[1:]
    tables = _compared({key: np.stack([one[name] for name in measures], axis=1) for key, one in found.items()}, seed)
    table = _stack(tables)
    table.insert(2, "measure", measures * len(tables))
    return table


def _bands(found: Mapping[Key, Arrays], seed: int) -> pd.DataFrame:
    """Error and energy of the prediction in each band, relative to the target's energy; see ``band_energies``.

    Where the summary has differences to another model, this has ratios: how many times the other's error.
    """
    edges = band_edges()

    def relative(name: str) -> dict[Key, pd.DataFrame]:
        logs = {
            key: statistics.log_ratio_values(one[f"energy {name}"], one["energy target"]) for key, one in found.items()
        }
        tables = _compared(logs, seed)
        return {
            key: np.exp(rows.drop(columns="against")).assign(against=rows["against"]) for key, rows in tables.items()
        }

    errors, energies = relative("error"), relative("prediction")
    tables = {}
    for key, one in found.items():
        error, energy = errors[key], energies[key]
        with np.errstate(divide="ignore"):  # no error at all
            psnr = -10 * np.log10(one["energy error"].mean(axis=0))
        columns = dict(low=edges[:-1], high=edges[1:], error=error["value"])
        columns |= dict(ci_low=error["ci_low"], ci_high=error["ci_high"], psnr=psnr, energy=energy["value"])
        columns |= dict(energy_ci_low=energy["ci_low"], energy_ci_high=energy["ci_high"])
        ratio = error[["difference", "difference_ci_low", "difference_ci_high", "against"]]
        ratio = ratio.rename(columns=lambda name: name.replace("difference", "ratio"))
        tables[key] = pd.concat([pd.DataFrame(columns), ratio], axis=1)
    return _stack(tables)


def _stack(tables: Mapping[Key, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(dict(tables), names=["checkpoint", "token"]).reset_index([0, 1]).reset_index(drop=True)


def title(name: str, token: str) -> str:
    """What a network is called with or without its token."""
    return name if token == "with" else f"{name}, without token"


def captions(found: Arrays) -> list[str]:
    """PSNR, and SSIM where there is one, of the drawn images."""
    captions = []
    for index in found["picture image"]:
        row = int(np.flatnonzero(found["image"] == index)[0])
        similar = f", SSIM {found['ssim'][row]:.2f}" if "ssim" in found else ""
        captions.append(f"{found['psnr'][row]:.1f} dB{similar}")
    return captions
