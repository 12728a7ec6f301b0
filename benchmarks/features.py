"""What the preprocessing of each kind costs here, one thread, in microseconds: ``python -m benchmarks.features``."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from adaspring.features import ImageSpec, InertialSpec, LogMelSpec, build_pipeline
from adaspring.profile.machine import measuring
from benchmarks.harness import finish, percentile

RUNS = 200


def _time_us(call: Callable[[], object]) -> float:
    call()
    elapsed_us = []
    for _ in range(RUNS):
        started = perf_counter()
        call()
        elapsed_us.append((perf_counter() - started) * 1e6)
    return percentile(elapsed_us, 20.0)


def main() -> None:
    """Time windows and pieces of a stream."""
    rng = np.random.default_rng(0)
    sound = rng.integers(-9000, 9000, 40_000).astype(np.int16)
    motion = rng.standard_normal((128, 6), dtype=np.float32)
    photo = rng.integers(0, 256, (480, 640, 3)).astype(np.uint8)
    spoken = LogMelSpec(
        rate_hz=8000.0, samples=40_000, frame=512, hop=160, bands=64, low_hz=50.0, high_hz=4000.0, layout="image"
    )
    log_mel = build_pipeline(spoken)
    inertial = build_pipeline(InertialSpec(rate_hz=50.0, samples=128))
    image = build_pipeline(ImageSpec(height=60, width=80, mean=(96.0, 96.0, 96.0)))
    heard, moved = log_mel.stream(), inertial.stream()
    with measuring():
        figures = {
            "log_mel_window_5_s": _time_us(lambda: log_mel.window(sound)),
            "log_mel_stream_20_ms": _time_us(lambda: heard.push(sound[:160])),
            "inertial_window_2560_ms": _time_us(lambda: inertial.window(motion)),
            "inertial_stream_20_ms": _time_us(lambda: moved.push(motion[:1])),
            "image_60_x_80": _time_us(lambda: image.window(photo[:60, :80])),
            "image_480_x_640_resized": _time_us(lambda: image.window(photo)),
        }
    finish({"features_us": figures})


if __name__ == "__main__":
    main()
