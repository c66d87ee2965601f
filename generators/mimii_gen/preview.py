"""A picture to judge generated clips by: log-mel spectrograms, real beside generated, on one colour scale."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from asdbench import LogmelSettings, UserError, logmel

Waveform = npt.NDArray[np.float32]

RANGE_DB = 60.0
"""Span of the colours below the loudest point of all clips."""
WINDOW_SECONDS = 0.064
"""Length of an analysis window, made a power of 2 in samples."""
N_MELS = 96
TICKS_HZ = (500, 1000, 2000, 4000, 8000, 16000)

LEFT, RIGHT, TOP, BELOW, GAP = 0.55, 0.6, 0.1, 0.45, 0.3
PANEL_WIDTH, PANEL_HEIGHT, LINE = 2.2, 1.3, 0.19
"""In inches; a row has its title above and ``BELOW`` for the time axis."""
LETTERS = 34
"""Of a title above one panel."""


def save_grid(path: Path, rows: Sequence[tuple[str, Sequence[Waveform]]], sample_rate: int) -> None:
    """Draw clips as a grid of spectrograms and save it as PNG, whole or not at all.

    All share colours, time and frequency axes. Samples that are no finite numbers leave blank spots.

    Args:
        path: the file.
        rows: a label and the clips of each row, such as ("fan, anomalous: real", [...]); rows may differ in length.
        sample_rate: of all clips, in Hz.

    Raises:
        UserError: the file cannot be written.
        ValueError: there is no clip.
    """
    figure = draw_grid(rows, sample_rate)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(part, format="png", metadata={"Software": None})
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path}: the picture cannot be written ({error.strerror})") from error
    finally:
        with contextlib.suppress(OSError):  # else this would hide why it could not be written
            part.unlink()


def draw_grid(rows: Sequence[tuple[str, Sequence[Waveform]]], sample_rate: int) -> Figure:
    """Draw the grid of `save_grid`; the figure belongs to no window and to no global state."""
    settings = _settings(sample_rate)
    pictures = [[logmel(clip, settings).T for clip in clips] for _, clips in rows]
    everything = [picture for row in pictures for picture in row]
    if not everything:
        raise ValueError("there are no clips to draw")
    seconds = max(len(clip) for _, clips in rows for clip in clips) / sample_rate
    loudest = max(float(picture[np.isfinite(picture)].max(initial=-math.inf)) for picture in everything)
    loudest = loudest if math.isfinite(loudest) else 0.0

    columns = max(map(len, pictures))
    titles = [textwrap.fill(label, LETTERS * columns) for label, _ in rows]
    # Laid out by hand: an automatic layout makes a column as wide as its longest title.
    heights = [LINE * (title.count("\n") + 1) + PANEL_HEIGHT + BELOW for title in titles]
    width, height = LEFT + columns * (PANEL_WIDTH + GAP) + RIGHT, sum(heights) + TOP
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)

    def place(left: float, bottom: float, wide: float, high: float) -> Axes:
        return figure.add_axes((left / width, bottom / height, wide / width, high / height))

    bottom = height - TOP
    step = settings.hop_length / sample_rate
    for title, row, row_height in zip(titles, pictures, heights, strict=True):
        bottom -= row_height
        for column, picture in enumerate(row):
            axes = place(LEFT + column * (PANEL_WIDTH + GAP), bottom + BELOW, PANEL_WIDTH, PANEL_HEIGHT)
            image = axes.imshow(
                picture,
                origin="lower",
                aspect="auto",
                interpolation="nearest",
                extent=(-step / 2, (picture.shape[1] - 0.5) * step, -0.5, N_MELS - 0.5),  # frames are centred
                vmin=loudest - RANGE_DB,
                vmax=loudest,
                cmap="magma",
            )
            axes.set_xlim(0, seconds)
            axes.set_ylim(-0.5, N_MELS - 0.5)
            axes.set_xlabel("s", fontsize=8, labelpad=1)
            axes.tick_params(labelsize=7)
            _mark_frequencies(axes, settings, labels=column == 0)
            if column == 0:
                axes.set_title(title, loc="left", fontsize=9)
                axes.set_ylabel("kHz", fontsize=8)
    bar_height = min(height - TOP - BELOW, 3.0)
    bar = place(width - RIGHT, (height - bar_height) / 2, 0.12, bar_height)
    figure.colorbar(image, cax=bar)
    bar.set_title("dB", fontsize=8)
    bar.tick_params(labelsize=7)
    return figure


def mel_row(hz: float, settings: LogmelSettings) -> float:
    """Where a frequency lies on the vertical axis: 0 is the middle of the lowest band of the spectrogram.

    Slaney's mel scale, as `asdbench.logmel` uses it: linear to 1 kHz, then logarithmic.
    """
    low, high = _mel(settings.fmin), _mel(settings.fmax or settings.sample_rate / 2)
    return (_mel(hz) - low) / (high - low) * (settings.n_mels + 1) - 1


def _mel(hz: float) -> float:
    return 3 * hz / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def _settings(sample_rate: int) -> LogmelSettings:
    n_fft = 2 ** round(math.log2(WINDOW_SECONDS * sample_rate))
    return LogmelSettings(sample_rate=sample_rate, n_fft=n_fft, hop_length=n_fft // 4, n_mels=N_MELS)


def _mark_frequencies(axes: Axes, settings: LogmelSettings, labels: bool) -> None:
    ticks = [hz for hz in TICKS_HZ if hz <= 0.95 * settings.sample_rate / 2]
    axes.set_yticks([mel_row(hz, settings) for hz in ticks], [f"{hz / 1000:g}" if labels else "" for hz in ticks])
