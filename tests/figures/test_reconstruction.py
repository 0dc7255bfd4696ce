"""Pictures of reconstructions and of their error by frequency: everything is there, in its place, pixel for pixel."""

import io
import itertools

import matplotlib.text
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from a2mim.figures import bands, reconstruction, style

LONG = "SimMIM + RGB mean + T(l*) + L_freq, 300 epochs, without token"


def panels(images=2, size=(32, 32), seed=0):
    generator = np.random.default_rng(seed)
    return {name: generator.random((images, *size, 3)) for name in reconstruction.COLUMNS}


def alike(count, **options):
    """Models on the same images and masks."""
    same = panels(**options)
    return {
        f"model-{k}": panels(seed=k, **options) | {name: same[name] for name in reconstruction.SHARED}
        for k in range(count)
    }


def rendered(figure):
    stream = io.BytesIO()
    figure.savefig(stream, dpi=200, format="png")
    return np.asarray(Image.open(stream).convert("RGB"))


def shown(figure):
    return [axes.images[0].get_array() for axes in figure.axes]


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(ValueError, match="no models"):
        reconstruction.plot({})
    with pytest.raises(ValueError, match="lacks pasted"):
        reconstruction.plot({"a": {name: np.zeros((1, 4, 4, 3)) for name in ("original", "masked", "prediction")}})
    with pytest.raises(ValueError, match="lacks images"):
        reconstruction.plot({"a": panels(images=0)})


def test_one_model_and_models_of_other_masks_show_all_panels_in_order():
    for models in ({"a": panels()}, {"a": panels(), "b": panels(seed=1)}):
        figure = reconstruction.plot(models)
        wanted = [image for each in models.values() for name in reconstruction.COLUMNS for image in each[name]]
        assert all(np.array_equal(a, b) for a, b in zip(shown(figure), wanted, strict=True))
        assert len({round(axes.get_position().x0, 4) for axes in figure.axes}) == 4 * len(models)


def test_models_on_the_same_masks_share_originals_and_masked_inputs():
    models = alike(3)
    figure = reconstruction.plot(models)
    first = next(iter(models.values()))
    wanted = [image for name in reconstruction.SHARED for image in first[name]]
    wanted += [image for each in models.values() for name in reconstruction.OWN for image in each[name]]
    assert all(np.array_equal(a, b) for a, b in zip(shown(figure), wanted, strict=True))
    lefts = [axes.get_position().x0 for axes in figure.axes[::2]]  # two images in each column
    assert lefts == sorted(lefts)
    another = models | {"other": panels(seed=9)}
    assert len(reconstruction.plot(another).axes) == 2 * 4 * 4


@pytest.mark.parametrize("size", [(28, 28), (32, 64), (96, 96), (224, 224), (384, 256)])
@pytest.mark.parametrize(
    "make", [alike, lambda count, **options: {str(k): panels(seed=k, **options) for k in range(count)}]
)
def test_any_number_of_models_fits_a_page_without_overlap(make, size):
    for count in (1, 2, 3, 4, 7):
        models = make(count, size=size, images=1)
        captions = {title: ["16.9 dB, SSIM 0.73"] for title in models}
        figure = reconstruction.plot(models, captions)
        boxes = [axes.get_position() for axes in figure.axes]
        assert figure.get_figwidth() <= style.PAGE_WIDTH + 1e-9
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in boxes)
        ratios = [box.height * figure.get_figheight() / box.width / figure.get_figwidth() for box in boxes]
        assert ratios == pytest.approx([size[0] / size[1]] * len(boxes), abs=0.02)


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (32, 16), (64, 64), (96, 96)])
def test_small_images_are_drawn_with_whole_pixels(size):
    model = panels(images=1, size=size)
    model = {name: np.round(image * 255) / 255 for name, image in model.items()}
    figure = reconstruction.plot({"a": model})
    picture = rendered(figure)
    for axes, image in zip(figure.axes, model.values(), strict=True):
        box = axes.get_position()
        left, right = (round(x * picture.shape[1]) for x in (box.x0, box.x1))
        top, bottom = (round((1 - y) * picture.shape[0]) for y in (box.y1, box.y0))
        drawn = picture[top:bottom, left:right]
        times = drawn.shape[0] // size[0]
        assert drawn.shape[:2] == (times * size[0], times * size[1])
        exact = np.round(image[0] * 255).astype(np.uint8).repeat(times, 0).repeat(times, 1)
        assert np.abs(drawn.astype(int) - exact).max() <= 1


def test_large_images_are_smoothed_and_not_thinned_out():
    stripes = np.zeros((1, 512, 512, 3))
    stripes[:, :, ::2] = 1
    figure = reconstruction.plot({"a": dict.fromkeys(reconstruction.COLUMNS, stripes)})
    box = figure.axes[0].get_position()
    picture = rendered(figure)
    drawn = picture[round((1 - box.y1) * len(picture)) + 5 :, 5 : round(box.x1 * picture.shape[1]) - 5][:100]
    assert np.ptp(drawn.astype(int)) < 60


@pytest.mark.parametrize("name", ["vit", LONG, "x" * 90, "a $broken_{math", "_hidden", ""])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_titles_and_captions_stay_inside_and_apart(name, count):
    models = {f"{name}{k or ''}": each for k, each in enumerate(alike(count).values())}
    figure = reconstruction.plot(models, {title: ["16.9 dB, SSIM 0.73"] * 2 for title in models})
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
    whole = figure.bbox
    for box in boxes:
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 - 1 <= box.y0
        assert box.y1 <= whole.y1
    texts = [box.shrunk(0.9, 0.6) for box in boxes]  # lines of one title touch
    assert not any(a.overlaps(b) for a, b in itertools.combinations(texts, 2))


def test_captions_are_below_their_own_pictures():
    models = alike(2)
    captions = {title: [f"{title} {row}" for row in range(2)] for title in models}
    figure = reconstruction.plot(models, captions)
    texts = {text.get_text(): text.get_position() for text in figure.texts}
    for number, title in enumerate(models):
        for row in range(2):
            x, y = texts[f"{title} {row}"]
            pair = [figure.axes[4 + 4 * number + row].get_position(), figure.axes[6 + 4 * number + row].get_position()]
            assert pair[0].x0 < x < pair[1].x1
            assert pair[0].y0 - 0.1 < y < pair[0].y0


def bands_table():
    rows = []
    for name, token in itertools.product(("vit", "resnet"), ("with", "without")):
        for error, (low, high) in zip((0.1, 1.1, 2.1), itertools.pairwise((0, 0.5, 1, 2**0.5)), strict=True):
            rows.append(dict(checkpoint=name, token=token, low=low, high=high, error=error, energy=0.5, psnr=20.0))
    table = pd.DataFrame(rows)
    for prefix, column in (("", "error"), ("energy_", "energy")):
        table[f"{prefix}ci_low"], table[f"{prefix}ci_high"] = 0.9 * table[column], 1.2 * table[column]
    return table


def test_bands_draw_error_and_energy_of_every_model_and_token():
    figure = bands.plot(bands_table())
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["vit", "vit, without token", "resnet", "resnet, without token"]
    for axes, values in zip(figure.axes, ([0.1, 1.1, 2.1], [0.5] * 3), strict=True):
        curves = [line for line in axes.lines if len(line.get_xdata()) == 3]
        assert [line.get_ydata().tolist() for line in curves] == [pytest.approx(values)] * 4
        assert curves[0].get_xdata().tolist() == pytest.approx([0.25, 0.75, (1 + 2**0.5) / 2])
        assert curves[0].get_color() == curves[1].get_color() != curves[2].get_color()
        assert [line.get_markerfacecolor() == "white" for line in curves] == [False, True, False, True]
        assert len(axes.collections) == 4
        outline = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert (outline.min(), outline.max()) == pytest.approx((0.9 * min(values), 1.2 * max(values)))


def test_bands_without_intervals_or_frequencies_still_draw(tmp_path):
    table = bands_table()
    table.loc[table.low == 0, ["error", "energy"]] = np.nan
    table[["ci_low", "ci_high", "energy_ci_low", "energy_ci_high"]] = np.nan
    bands.plot(table).savefig(tmp_path / "bands.png")
    with pytest.raises(ValueError, match="columns missing: energy"):
        bands.plot(table.drop(columns="energy"))
    with pytest.raises(ValueError, match="no rows"):
        bands.plot(table.iloc[:0])
