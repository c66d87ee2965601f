"""The grid of spectrograms, checked in the figure and in the pixels of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from asdbench import LogmelSettings, UserError, logmel

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from asdbench.generators.mimii_gen.preview import RANGE_DB, draw_grid, mel_row, save_grid

Waveform = npt.NDArray[np.float32]
RATE = 16000


def tone(hz: float, seconds: float = 1.0, amplitude: float = 0.5, sample_rate: int = RATE) -> Waveform:
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    return (amplitude * np.sin(2 * np.pi * hz * times)).astype(np.float32)


def image_axes(figure: object) -> list[object]:
    return [axes for axes in figure.axes if axes.images]  # type: ignore[attr-defined]


def test_the_file_is_a_picture(tmp_path: Path) -> None:
    import matplotlib.image

    path = tmp_path / "new" / "grid.png"
    save_grid(path, [("real", [tone(500), tone(1000)]), ("generated", [tone(500)])], RATE)
    picture = matplotlib.image.imread(path)
    assert picture.shape[0] > 200 and picture.shape[1] > 400
    assert picture[..., :3].std() > 0.1  # it is not blank
    first = path.read_bytes()
    save_grid(path, [("real", [tone(500), tone(1000)]), ("generated", [tone(500)])], RATE)
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["grid.png"]


def test_no_global_state(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; import numpy as np; from pathlib import Path;"
        "from asdbench.generators.mimii_gen.preview import save_grid;"
        f"save_grid(Path({str(tmp_path / 'x.png')!r}), [('x', [np.ones(4000, dtype=np.float32)])], 16000);"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "False"


@pytest.mark.parametrize("sample_rate", [8000, 16000, 24000, 48000])
@pytest.mark.parametrize("hz", [300.0, 900.0, 2000.0, 3500.0])
def test_frequencies_stand_where_the_axis_says(sample_rate: int, hz: float) -> None:
    """The loudest row of a tone against `mel_row`; 1 kHz is where the mel scale bends."""
    n_fft = {8000: 512, 16000: 1024, 24000: 2048, 48000: 4096}[sample_rate]
    settings = LogmelSettings(sample_rate=sample_rate, n_fft=n_fft, n_mels=96)
    row = int(logmel(tone(hz, sample_rate=sample_rate), settings).mean(axis=0).argmax())
    assert abs(row - mel_row(hz, settings)) < 1.0


def test_axes_colours_and_titles() -> None:
    rows = [("fan, real", [tone(500, 1.0), tone(500, 0.5, 0.01)]), ("fan, generated", [tone(2000, 1.5)])]
    figure = draw_grid(rows, RATE)
    axes = image_axes(figure)
    assert len(axes) == 3
    assert [a.get_title(loc="left") for a in axes] == ["fan, real", "", "fan, generated"]  # type: ignore[attr-defined]
    limits = {a.images[0].get_clim() for a in axes}  # type: ignore[attr-defined]
    assert len(limits) == 1  # one scale for all
    low, high = limits.pop()
    assert high - low == pytest.approx(RANGE_DB)
    assert high == pytest.approx(max(float(a.images[0].get_array().max()) for a in axes))  # type: ignore[attr-defined]
    for a in axes:
        assert a.get_xlim() == (0, 1.5)  # type: ignore[attr-defined]
        assert a.get_xlabel() == "s"  # type: ignore[attr-defined]
    labels = [text.get_text() for text in axes[0].get_yticklabels()]  # type: ignore[attr-defined]
    assert labels == ["0.5", "1", "2", "4"]
    assert axes[0].get_ylabel() == "kHz"  # type: ignore[attr-defined]


def test_time_is_in_seconds() -> None:
    """A click at 0.75 s is drawn there."""
    clip = np.full(RATE, 1e-4, dtype=np.float32)
    clip[12000] = 1.0
    (axes,) = image_axes(draw_grid([("click", [clip])], RATE))
    image = axes.images[0]  # type: ignore[attr-defined]
    left, right, *_ = image.get_extent()
    column = int(np.asarray(image.get_array()).mean(axis=0).argmax())
    time = left + (column + 0.5) * (right - left) / image.get_array().shape[1]
    assert time == pytest.approx(0.75, abs=0.02)


def test_panels_and_titles_do_not_overlap() -> None:
    """Even where a title is long: it is broken into lines above its row."""
    rows = [("a long caption " * 20, [tone(500)] * 2), ("another " * 30, [tone(500)] * 3), ("short", [tone(500)])]
    figure = draw_grid(rows, RATE)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [a.get_window_extent(renderer) for a in image_axes(figure)]  # type: ignore[attr-defined]
    assert all(not one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    ticks = [
        label.get_window_extent(renderer)
        for a in image_axes(figure)
        for label in a.get_xticklabels()  # type: ignore[attr-defined]
    ]
    assert all(not one.overlaps(other) for i, one in enumerate(ticks) for other in ticks[:i])
    titled = [a for a in image_axes(figure) if a.get_title(loc="left")]  # type: ignore[attr-defined]
    for a in titled:
        title = a._left_title.get_window_extent(renderer)  # type: ignore[attr-defined]
        assert not any(title.overlaps(box) for box in boxes)
        assert title.x0 >= 0 and title.x1 <= figure.bbox.x1 and title.y1 <= figure.bbox.y1


def test_odd_clips(tmp_path: Path) -> None:
    broken = tone(500)
    broken[:4000] = np.nan
    silent, short = np.zeros(RATE, dtype=np.float32), tone(500, 0.01)
    save_grid(tmp_path / "odd.png", [("odd", [broken, silent, short]), ("none", [])], RATE)
    save_grid(tmp_path / "nan.png", [("nan", [np.full(RATE, np.nan, dtype=np.float32)])], RATE)
    assert (tmp_path / "odd.png").stat().st_size > 1000


def test_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no clips"):
        save_grid(tmp_path / "x.png", [("fan", [])], RATE)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"grid.png: the picture cannot be written"):
        save_grid(tmp_path / "file" / "grid.png", [("fan", [tone(500)])], RATE)
