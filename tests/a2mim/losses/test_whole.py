"""Eqs. 3 to 6 against slow literal versions (loops, float64) and against the numbers of the published code."""

import cmath
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from a2mim.errors import InputError
from a2mim.losses import DISTANCES, PRESETS, MIMLoss
from a2mim.masking import random_mask, resize_mask

# --- the equations, letter by letter ---------------------------------------------------------------------------------


def literal_distance(magnitude, name):
    if name == "l1":
        return magnitude
    if name == "l2":
        return magnitude**2
    return magnitude * (2 / (1 + math.exp(-0.2 * magnitude)) - 1)


def literal_spatial(prediction, target, mask, distance):
    """L_spa beside Eq. 6, averaged over hidden elements."""
    total, count = 0.0, 0
    for b, c, h, w in itertools.product(*map(range, prediction.shape)):
        if hidden_at(mask, prediction.shape, b, h, w):
            total += literal_distance(abs(prediction[b, c, h, w] - target[b, c, h, w]), distance)
            count += 1
    return total / max(count, 1)


def hidden_at(mask, shape, b, h, w):
    return bool(mask[b, h * mask.shape[1] // shape[2], w * mask.shape[2] // shape[3]])


def literal_blend(prediction, target, mask, blend, visible_weight):
    """The image inside Eq. 4."""
    blended = prediction.copy()
    for b, c, h, w in itertools.product(*map(range, prediction.shape)):
        if blend == "none" or hidden_at(mask, prediction.shape, b, h, w):
            continue
        x_pred, x = prediction[b, c, h, w], target[b, c, h, w]
        stand_in = {
            "prediction": x_pred,
            "target": x,
            "mixed": x_pred / 2 + x / 2,
            "mean": sum(target[b, c].flatten()) / target[b, c].size,
        }[blend]
        blended[b, c, h, w] = visible_weight * x_pred + (1 - visible_weight) * stand_in
    return blended


def literal_dft(image, norm):
    """Eq. 3, pixels counted from 1 as printed."""
    H, W = image.shape
    factor = {"backward": 1.0, "ortho": 1 / math.sqrt(H * W), "forward": 1 / (H * W)}[norm]
    spectrum = np.zeros((H, W), complex)
    for u, v, h, w in itertools.product(range(H), range(W), range(H), range(W)):
        spectrum[u, v] += factor * image[h, w] * cmath.exp(-2j * cmath.pi * (u * (h + 1) / H + v * (w + 1) / W))
    return spectrum


def literal_frequency(prediction, target, mask, s):
    """Eqs. 4 and 5 with the settings ``s`` of MIMLoss, averaged over images, channels and frequencies."""
    blended = literal_blend(prediction, target, mask, s["freq_blend"], s["freq_visible_weight"])
    B, C = blended.shape[:2]
    spectrum = np.array(
        [[literal_dft(blended[b, c], s["freq_norm"]) - literal_dft(target[b, c], s["freq_norm"]) for c in range(C)]
         for b in range(B)]
    )  # fmt: skip
    if s["freq_ave_spectrum"]:
        spectrum = np.array([sum(spectrum[b] for b in range(B)) / B])
    magnitude = abs(spectrum)
    omega = np.ones(magnitude.shape)
    if s["freq_weight"] == "focal":
        omega = magnitude ** s["freq_alpha"]
        if s["freq_log"]:
            omega = np.log(1 + omega)
        if s["freq_max"] == "batch" and omega.max() > 0:
            omega = omega / omega.max()
        if s["freq_max"] == "image":
            for b, c in itertools.product(range(len(omega)), range(C)):
                omega[b, c] /= omega[b, c].max() or 1
    total = sum(w * literal_distance(m, s["loss_freq"]) for w, m in zip(omega.flat, magnitude.flat, strict=True))
    return total / magnitude.size


def example(shape=(2, 3, 8, 8), grid=(4, 4), seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randn(shape, generator=generator, dtype=dtype)
    target = torch.randn(shape, generator=generator, dtype=dtype)
    return prediction, target, random_mask(shape[0], grid, 0.6, generator)


ALL_SETTINGS = st.fixed_dictionaries(
    {
        "loss_spa": st.sampled_from(["l1", "l2", "focal-l1"]),
        "loss_freq": st.sampled_from(["l1", "l2", "focal-l1"]),
        "freq_lambda": st.sampled_from([0.1, 0.5, 2.0]),
        "freq_blend": st.sampled_from(["prediction", "target", "mixed", "mean", "none"]),
        "freq_visible_weight": st.sampled_from([0.0, 1e-3, 0.3, 1.0]),
        "freq_weight": st.sampled_from(["focal", "none"]),
        "freq_alpha": st.sampled_from([0.0, 0.5, 1.0, 2.0]),
        "freq_log": st.booleans(),
        "freq_max": st.sampled_from(["image", "batch", "none"]),
        "freq_ave_spectrum": st.booleans(),
        "freq_norm": st.sampled_from(["ortho", "backward", "forward"]),
    }
)
SIZES = st.sampled_from(
    [((2, 3, 4, 4), (2, 2)), ((3, 3, 4, 6), (2, 3)), ((2, 3, 3, 5), (3, 5)), ((1, 3, 5, 2), (1, 2))]
)


@given(chosen=ALL_SETTINGS, size=SIZES)
@settings(max_examples=250, deadline=None, derandomize=True)
def test_every_setting_equals_the_literal_equations(chosen, size):
    prediction, target, mask = example(*size)
    got = MIMLoss(**chosen)(prediction, target, mask)
    arrays = prediction.numpy(), target.numpy(), mask.numpy()
    spatial, frequency = literal_spatial(*arrays, chosen["loss_spa"]), literal_frequency(*arrays, chosen)
    assert got["spatial"].item() == pytest.approx(spatial, rel=1e-10)
    assert got["frequency"].item() == pytest.approx(frequency, rel=1e-10, abs=1e-14)
    assert got["loss"].item() == pytest.approx(spatial + chosen["freq_lambda"] * frequency, rel=1e-10)


def test_the_letter_of_equations_3_to_5_is_within_reach():
    """sum over c, u, v of ‖F‖^α·‖F‖ with the unnormalised transform, one image."""
    prediction, target, mask = example((1, 3, 4, 5), (4, 5))
    spectra = [literal_dft(image, "backward") for image in (prediction - target)[0].numpy()]
    letter = sum(abs(value) * abs(value) for spectrum in spectra for value in spectrum.flat)
    loss = MIMLoss(loss_freq="l1", freq_max="none", freq_norm="backward")
    assert 60 * loss(prediction, target, mask)["frequency"].item() == pytest.approx(letter, rel=1e-12)


# --- the published code ----------------------------------------------------------------------------------------------

AUTHORS_FREQUENCY = {"freq_lambda": 1.0, "freq_log": True, "freq_max": "batch", "freq_ave_spectrum": True}
CASES = {
    "official_resnet50": ("loss", PRESETS["official-resnet50"]),
    "official_vit": ("loss", PRESETS["official-vit"]),
    "spatial_l1_only": ("loss", PRESETS["simmim"]),
    "freq_prediction": ("loss", {**AUTHORS_FREQUENCY, "freq_blend": "prediction"}),
    "freq_target": ("loss", {**AUTHORS_FREQUENCY, "freq_blend": "target"}),
    "freq_mean": ("loss", {**AUTHORS_FREQUENCY, "freq_blend": "mean"}),
    "freq_nonfocal_target": (
        "loss",
        {"freq_lambda": 1.0, "freq_weight": "none", "loss_freq": "l1", "freq_blend": "target"},
    ),
    "ffl_default": ("frequency", {"freq_blend": "target"}),
    "ffl_log": ("frequency", {"freq_blend": "target", "freq_log": True}),
    "ffl_batch": ("frequency", {"freq_blend": "target", "freq_max": "batch"}),
    "ffl_avg": ("frequency", {"freq_blend": "target", "freq_ave_spectrum": True}),
    "ffl_alpha2": ("frequency", {"freq_blend": "target", "freq_alpha": 2.0}),
}


def test_every_reference_case_is_used(reference):
    with np.load(reference / "official_losses.npz") as held:
        assert {name[: -len(".grad")] for name in held if name.endswith(".grad")} == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_of_the_published_code(case, reference):
    term, chosen = CASES[case]
    with np.load(reference / "official_losses.npz") as held:
        prediction, target, mask = (torch.from_numpy(held[name]) for name in ("prediction", "target", "mask"))
        value, slope = held[case].item(), torch.from_numpy(held[f"{case}.grad"])
    prediction.requires_grad_()
    got = MIMLoss(**chosen)(prediction, target, mask)[term]
    (got_slope,) = torch.autograd.grad(got, prediction)
    assert got.item() == pytest.approx(value, rel=1e-5)
    assert (got_slope - slope).norm() <= 1e-5 * slope.norm()
    assert (got_slope - slope).abs().max() <= 1e-5 * slope.abs().max()


def test_presets():
    assert MIMLoss.from_preset("paper").settings == MIMLoss().settings
    assert MIMLoss.from_preset("official-vit").settings.freq_lambda == 0.1
    assert MIMLoss.from_preset("official-vit", freq_lambda=0.7).settings.freq_lambda == 0.7
    for name in PRESETS:
        assert torch.isfinite(MIMLoss.from_preset(name)(*example())["loss"])
    prediction, target, mask = example()
    hidden = resize_mask(mask, (8, 8))[:, None].expand_as(prediction)
    error = (prediction - target)[hidden]
    simmim, inpainting = (MIMLoss.from_preset(name)(prediction, target, mask) for name in ("simmim", "inpainting"))
    torch.testing.assert_close(simmim["loss"], error.abs().mean())
    torch.testing.assert_close(inpainting["loss"], error.square().mean())
    assert simmim["frequency"] == inpainting["frequency"] == 0


# --- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blend", ["prediction", "target", "mixed", "mean", "none"])
def test_blend_lets_gradient_through_hidden_pixels_alone(blend):
    prediction, target, mask = example()
    prediction.requires_grad_()
    MIMLoss(freq_blend=blend)(prediction, target, mask)["loss"].backward()
    hidden = resize_mask(mask, (8, 8))[:, None].expand_as(prediction)
    assert (prediction.grad[hidden] != 0).all()
    assert (prediction.grad[~hidden] == 0).all() == (blend != "none")


def test_visible_weight_scales_the_gradient_of_visible_pixels():
    prediction, target, mask = example()
    slopes = []
    for chosen in ({"freq_blend": "prediction", "freq_visible_weight": 0.25}, {"freq_blend": "none"}):
        leaf = prediction.clone().requires_grad_()
        MIMLoss(**chosen)(leaf, target, mask)["frequency"].backward()
        slopes.append(leaf.grad)
    hidden = resize_mask(mask, (8, 8))[:, None].expand_as(prediction)
    torch.testing.assert_close(slopes[0], torch.where(hidden, slopes[1], 0.25 * slopes[1]))


def test_target_blend_has_no_residual_on_visible_pixels():
    prediction, target, mask = example(dtype=torch.float32)
    hidden = resize_mask(mask, (8, 8))[:, None]
    loss = MIMLoss(freq_blend="target")
    right_where_hidden = torch.where(hidden, target, prediction)
    assert loss(right_where_hidden, target, mask)["frequency"] == 0
    wild = torch.where(hidden, prediction, 100 * prediction)
    assert torch.equal(loss(wild, target, mask)["loss"], loss(prediction, target, mask)["loss"])


@pytest.mark.parametrize("loss_freq", list(DISTANCES))
@pytest.mark.parametrize("norm", ["ortho", "backward", "forward"])
@pytest.mark.parametrize("blend", ["prediction", "target", "mixed", "mean", "none"])
def test_gradcheck_in_hidden_pixels(loss_freq, norm, blend):
    """Without ω, which is held constant, the gradient is that of the value."""
    prediction, target, mask = example((2, 3, 4, 5), (4, 5))
    hidden = mask[:, None].expand_as(prediction)
    loss = MIMLoss(loss_spa="l2", loss_freq=loss_freq, freq_weight="none", freq_norm=norm, freq_blend=blend)

    def of_hidden(values):
        return loss(prediction.masked_scatter(hidden, values), target, mask)["loss"]

    assert torch.autograd.gradcheck(of_hidden, prediction[hidden].clone().requires_grad_())


@pytest.mark.parametrize(("loss_freq", "power"), [("l1", 1), ("l2", 2)])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_focal_weight_is_held_constant(loss_freq, power, alpha):
    """L = Σ |F|^(power + α); with ω = |F|^α constant the gradient is power / (power + α) of the whole one."""
    prediction, target, mask = example((1, 3, 4, 4), (1, 1))
    loss = MIMLoss(loss_freq=loss_freq, freq_max="none", freq_alpha=alpha)
    leaf = prediction.clone().requires_grad_()
    loss(leaf, target, mask)["frequency"].backward()
    whole = prediction.clone().requires_grad_()
    (torch.fft.fft2(whole - target, norm="ortho").abs() ** (power + alpha)).mean().backward()
    torch.testing.assert_close(leaf.grad, whole.grad * power / (power + alpha))


@pytest.mark.parametrize("loss_freq", list(DISTANCES))
def test_a_perfect_prediction_has_loss_and_gradient_zero(loss_freq):
    _, target, mask = example()
    prediction = target.clone().requires_grad_()
    got = MIMLoss(loss_freq=loss_freq)(prediction, target, mask)
    got["loss"].backward()
    assert got["loss"] == 0
    assert (prediction.grad == 0).all()


@pytest.mark.parametrize("name", list(PRESETS))
def test_nothing_hidden_is_finite(name):
    prediction, target, mask = example()
    prediction.requires_grad_()
    got = MIMLoss.from_preset(name, freq_visible_weight=0.0)(prediction, target, torch.zeros_like(mask))
    assert got["spatial"] == 0
    assert torch.isfinite(got["loss"])
    got["loss"].backward()
    assert (prediction.grad == 0).all()


# --- batches and types -----------------------------------------------------------------------------------------------


def test_the_paper_loss_of_a_batch_is_the_mean_over_its_images():
    prediction, target, mask = example((5, 3, 8, 8))
    loss = MIMLoss()
    whole = loss(prediction, target, mask)
    single = [loss(prediction[k : k + 1], target[k : k + 1], mask[k : k + 1]) for k in range(5)]
    for term in ("loss", "spatial", "frequency"):
        torch.testing.assert_close(whole[term], torch.stack([part[term] for part in single]).mean())


def test_averaged_spectra_cancel_across_images():
    """The reason why ave_spectrum is off by default: independent errors vanish from the value as the batch grows."""
    prediction, target, mask = example((32, 3, 16, 16))
    average = {"freq_weight": "none", "freq_ave_spectrum": True}
    alone = MIMLoss(**average)(prediction[:1], target[:1], mask[:1])["frequency"]
    together = MIMLoss(**average)(prediction, target, mask)["frequency"]
    assert together.item() == pytest.approx(alone.item() / 32, rel=0.2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["paper", "official-resnet50", "official-resnet101"])
def test_half_precision_under_autocast_is_computed_in_float32(dtype, name):
    prediction, target, mask = example((2, 3, 28, 28), (7, 7), dtype=torch.float32)
    loss = MIMLoss.from_preset(name)
    half = prediction.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        got = loss(half, target, mask)
    expected = loss(half.detach().float(), target, mask)
    for term, value in got.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[term])
    got["loss"].backward()
    assert half.grad.dtype == dtype
    assert torch.isfinite(half.grad).all()


def test_autocast_is_off_inside(monkeypatch):
    seen = []

    def watched(mask, size):
        seen.append(torch.is_autocast_enabled("cpu"))
        return resize_mask(mask, size)

    monkeypatch.setattr("a2mim.losses.whole.resize_mask", watched)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        MIMLoss()(*example())
        assert torch.is_autocast_enabled("cpu")
    assert seen == [False]


def test_memory_layout_does_not_matter():
    prediction, target, mask = example((2, 3, 8, 12), (2, 3))
    strided = prediction.to(memory_format=torch.channels_last), target.to(memory_format=torch.channels_last)
    torch.testing.assert_close(MIMLoss()(*strided, mask)["loss"], MIMLoss()(prediction, target, mask)["loss"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", list(PRESETS))
def test_the_same_on_a_gpu(name):
    prediction, target, mask = example((2, 3, 224, 224), (7, 7), dtype=torch.float32)
    loss = MIMLoss.from_preset(name)
    with torch.autocast("cuda", dtype=torch.float16):
        got = loss(prediction.cuda(), target.cuda(), mask.cuda())["loss"]
    assert got.item() == pytest.approx(loss(prediction, target, mask)["loss"].item(), rel=1e-5)


# --- wrong input -----------------------------------------------------------------------------------------------------


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(InputError, match=r"'papre'.*paper.*official-resnet50"):
        MIMLoss.from_preset("papre")


def test_wrong_shapes_are_named():
    prediction, target, mask = example()
    loss = MIMLoss()
    with pytest.raises(InputError, match="prediction and target"):
        loss(prediction[..., :4], target, mask)
    with pytest.raises(InputError, match="prediction and target"):
        loss(prediction[0], target[0], mask)
    with pytest.raises(InputError, match="mask must be bool"):
        loss(prediction, target, mask.float())
    with pytest.raises(InputError, match="B = 2"):
        loss(prediction, target, mask[:1])


def test_settings_are_shown():
    assert "freq_blend='mixed'" in repr(MIMLoss.from_preset("official-vit"))
