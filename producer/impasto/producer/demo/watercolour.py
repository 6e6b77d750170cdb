"""The manner of watercolour: poppies and cornflowers, wet ground first, dry accents last."""

from __future__ import annotations

import numpy as np

from impasto.producer.demo.fields import Field, smoothstep
from impasto.producer.demo.washes import Sheet, Window

SCARLET, ORANGE, CRIMSON = "e8321f", "f5862a", "a8123a"
SAP, OLIVE, VIRIDIAN = "6f9a3a", "94923a", "2f7f6e"
COBALT, ULTRAMARINE, VIOLET, INK = "4f86c6", "2f3f9e", "6a4a93", "241a33"
HONEY, ROSE, MIST = "f0c25c", "eaa0a4", "a9c4d4"


def watercolour(size_px: int, rng: np.random.Generator) -> Field:
    """Poppies and cornflowers against a wet, misty ground."""
    sheet = Sheet(size_px, rng)
    _ground(sheet)
    poppies = [
        (0.37, 0.40, 0.205, 0.5),
        (0.735, 0.235, 0.135, -0.4),
        (0.70, 0.60, 0.115, 0.9),
        (0.15, 0.155, 0.085, 0.1),
    ]
    poppies = [
        (cx + rng.uniform(-0.025, 0.025), cy + rng.uniform(-0.02, 0.02), size, tilt)
        for cx, cy, size, tilt in poppies
    ]
    for cx, cy, size, tilt in poppies:
        _stem(sheet, cx, cy + 0.35 * size, cx + 0.25 * (0.5 - cx) + 0.04 * tilt, 1.04, 0.0048, SAP)
    for cx, cy, foot in ((0.555, 0.105, 0.50), (0.895, 0.50, 0.72), (0.055, 0.52, 0.25)):
        _stem(sheet, cx, cy, foot, 1.04, 0.0036, OLIVE)
        _bud(sheet, cx, cy)
    for _ in range(26):
        foot = rng.uniform(-0.05, 1.05)
        tip_x, tip_y = foot + rng.normal(0, 0.10), rng.uniform(0.62, 0.93)
        pigment = (SAP, OLIVE, VIRIDIAN)[rng.integers(3)]
        _stem(
            sheet,
            tip_x,
            tip_y,
            foot,
            1.05,
            rng.uniform(0.004, 0.010),
            pigment,
            strength=rng.uniform(0.5, 1.3),
        )
    for cx, cy, size in (
        (0.515, 0.735, 0.050),
        (0.225, 0.715, 0.044),
        (0.89, 0.775, 0.042),
        (0.385, 0.86, 0.034),
        (0.10, 0.85, 0.036),
        (0.63, 0.885, 0.034),
    ):
        cx += rng.uniform(-0.02, 0.02)
        _stem(sheet, cx, cy, cx + rng.normal(0, 0.03), 1.04, 0.0034, VIRIDIAN)
        _cornflower(sheet, cx, cy, size)
    for cx, cy, size, tilt in reversed(poppies):
        _poppy(sheet, cx, cy, size, tilt)
    for pigment, count in ((SCARLET, 26), (COBALT, 16), (SAP, 16)):
        for _ in range(count):
            cx, cy = rng.uniform(0, 1, 2)
            radius = 0.0016 + 0.006 * rng.uniform() ** 4
            window = sheet.around(cx, cy, 3 * radius)
            level = radius - np.hypot(sheet.x[window] - cx, sheet.y[window] - cy)
            sheet.wash(window, level, pigment, 0.7, ragged=0.0004, rim=0.8)
    return sheet.dried()


def _ground(sheet: Sheet) -> None:
    x, y, rng = sheet.x, sheet.y, sheet.rng
    whole = sheet.around(0.5, 0.5, 0.6)
    far = np.full_like(x, 1.0)
    sheet.wash(whole, far, HONEY, 0.22, load=smoothstep(0.75, 0.1, np.hypot(x - 0.62, y - 0.12)), pooling=0.9)
    patches = [
        (0.20, 0.22, 0.26, MIST, 0.9), (0.86, 0.42, 0.22, MIST, 0.8), (0.55, 0.30, 0.17, ROSE, 0.35),
        (0.05, 0.45, 0.20, COBALT, 0.40), (0.95, 0.10, 0.18, COBALT, 0.45), (0.50, 0.66, 0.22, SAP, 0.45),
        (0.20, 0.72, 0.24, VIRIDIAN, 0.45), (0.86, 0.74, 0.24, SAP, 0.55), (0.72, 0.92, 0.26, COBALT, 0.40),
        (0.30, 0.97, 0.26, VIRIDIAN, 0.75), (0.02, 0.93, 0.20, ULTRAMARINE, 0.45),
        (0.55, 0.99, 0.22, HONEY, 0.55),
    ]  # fmt: skip
    for cx, cy, radius, pigment, strength in patches:
        cx, cy = cx + rng.uniform(-0.04, 0.04), cy + rng.uniform(-0.04, 0.04)
        level = np.asarray(radius - np.hypot(x - cx, (y - cy) * 1.2), np.float32)
        wet = float(rng.choice([0.0015, 0.05, 0.09, 0.12]))
        sheet.wash(
            whole, level, pigment, strength, ragged=0.045, soft=wet, rim=0.45, pooling=0.8, granulation=0.22
        )
    for _ in range(7):
        sheet.bloom(
            float(rng.uniform(0.02, 0.98)), float(rng.uniform(0.05, 0.98)), float(rng.uniform(0.035, 0.08))
        )


def _stem(
    sheet: Sheet,
    tip_x: float,
    tip_y: float,
    foot_x: float,
    foot_y: float,
    width: float,
    pigment: str,
    strength: float = 1.1,
) -> None:
    """A blade or stem from its foot to its tip, bent, thicker at the foot."""
    reach = max(abs(foot_y - tip_y), abs(foot_x - tip_x)) * 0.6 + 0.03
    window = sheet.around((tip_x + foot_x) / 2, (tip_y + foot_y) / 2, reach)
    x, y = sheet.x[window], sheet.y[window]
    share = (y - tip_y) / (foot_y - tip_y)
    line = (
        tip_x
        + (foot_x - tip_x) * share
        + 0.14 * (foot_x - tip_x) * np.sin(np.pi * share)
        + 0.006 * np.sin(9 * share)
    )
    girth = width * (0.35 + 0.65 * np.clip(share, 0, 1))
    level = np.minimum(girth - np.abs(x - line), y - tip_y)
    sheet.wash(window, np.asarray(level, np.float32), pigment, strength, ragged=0.0011, rim=0.5)
    sheet.wash(
        window,
        np.asarray(level - 0.55 * girth + 0.4 * (x - line), np.float32),
        VIRIDIAN,
        0.6,
        ragged=0.001,
        soft=0.003,
    )


def _petal(
    sheet: Sheet, cx: float, cy: float, turn: float, length: float, breadth: float, squash: float
) -> tuple[Window, Field, Field]:
    """A petal's window, its level (distance to the edge) and its place from base (0) to lip (1)."""
    window = sheet.around(cx, cy, 1.45 * length)
    dx, dy = sheet.x[window] - cx, (sheet.y[window] - cy) / squash
    out = dx * np.cos(turn) + dy * np.sin(turn)
    side = dy * np.cos(turn) - dx * np.sin(turn)
    frill = 0.035 * np.sin(9 * side / length + 5 * turn) + 0.022 * np.sin(23 * side / length + turn)
    # An ellipse that starts behind the flower's heart, its lip frilled.
    u = (out - 0.46 * length) / (0.56 * length * (1 + frill))
    v = side / (breadth * length)
    level = (1 - np.sqrt(u * u + v * v)) * 0.5 * length
    return window, np.asarray(level, np.float32), np.asarray(np.clip(out / length, 0, 1), np.float32)


def _poppy(sheet: Sheet, cx: float, cy: float, size: float, tilt: float) -> None:
    rng = sheet.rng
    squash = 0.78
    window = sheet.around(cx, cy, 1.5 * size)
    hidden = np.zeros_like(sheet.x[window])
    petals = [
        (tilt + turn + rng.uniform(-0.18, 0.18), rng.uniform(0.92, 1.08))
        for turn in (-2.5, -0.75, -1.6, 0.95, 2.3)
    ]
    for turn, stretch in petals:
        area, level, _ = _petal(sheet, cx, cy, turn, size * stretch, 0.58, squash)
        full = np.full_like(sheet.x, -1.0)
        full[area] = level
        hidden = np.maximum(hidden, smoothstep(0.0, 0.012, full[window]))
    # The sheet was kept dry where the flower is: hardly any ground shines through it.
    sheet.lift(window, 0.88 * hidden)
    for number, (turn, stretch) in enumerate(petals):
        area, level, out = _petal(sheet, cx, cy, turn, size * stretch, 0.58, squash)
        ray = np.arctan2((sheet.y[area] - cy) / squash, sheet.x[area] - cx)
        vein = 0.5 + 0.5 * np.sin(46 * ray + 2.2 * np.sin(17 * ray + number))
        lightness = 0.62 + 0.25 * float(np.sin(turn))
        sheet.wash(
            area,
            level,
            SCARLET,
            0.62 + 0.25 * lightness,
            ragged=0.006,
            rim=0.75,
            pooling=0.7,
            load=1.15 - 0.45 * out,
        )
        sheet.wash(
            area, level - 0.09 * size, ORANGE, 0.6, ragged=0.015, soft=0.02, load=smoothstep(0.25, 0.9, out)
        )
        sheet.wash(
            area,
            level - 0.07 * size,
            CRIMSON,
            0.65 * lightness,
            ragged=0.010,
            soft=0.014,
            load=smoothstep(0.75, 0.15, out) + 0.25 * vein,
        )
        sheet.wash(
            area, level - 0.05 * size, CRIMSON, 0.30, ragged=0.006, load=vein**3 * smoothstep(1.0, 0.3, out)
        )
    dx, dy = sheet.x[window] - cx, (sheet.y[window] - cy) / squash
    r, ray = np.hypot(dx, dy), np.arctan2(dy, dx)
    star = 0.30 * size * (0.75 + 0.25 * np.sin(5 * ray + tilt))
    sheet.wash(window, np.asarray(star - r, np.float32), VIOLET, 0.9, ragged=0.012, soft=0.02)
    sheet.wash(window, np.asarray(0.21 * size - r, np.float32), INK, 1.0, ragged=0.010, soft=0.008)
    for _ in range(int(30 + 120 * size)):
        angle, far = rng.uniform(-np.pi, np.pi), size * rng.uniform(0.20, 0.36)
        sx, sy = cx + far * np.cos(angle), cy + squash * far * np.sin(angle)
        spot = sheet.around(sx, sy, 0.012)
        level = 0.0026 + 0.006 * size - np.hypot(sheet.x[spot] - sx, sheet.y[spot] - sy)
        sheet.wash(spot, np.asarray(level, np.float32), INK, 1.0, ragged=0.0006, rim=0.2)
    sheet.lift(window, 0.94 * smoothstep(0.0, 0.006, 0.088 * size - r))
    sheet.wash(window, np.asarray(0.095 * size - r, np.float32), SAP, 0.85, ragged=0.002, rim=1.0)
    rib = np.abs(np.sin(4 * ray)) * 0.012 * size
    sheet.wash(
        window,
        np.asarray(np.minimum(0.085 * size - r, 0.011 * size - rib * r / (0.05 * size)), np.float32),
        VIRIDIAN,
        0.9,
        ragged=0.0008,
    )


def _bud(sheet: Sheet, cx: float, cy: float) -> None:
    window = sheet.around(cx, cy, 0.07)
    dx, dy = sheet.x[window] - cx - 0.006, sheet.y[window] - cy - 0.012
    level = np.asarray((1 - np.sqrt((dx / 0.017) ** 2 + (dy / 0.027) ** 2)) * 0.017, np.float32)
    sheet.lift(window, 0.8 * smoothstep(0, 0.004, level))
    sheet.wash(window, level, SAP, 1.0, ragged=0.0025, rim=0.9)
    sheet.wash(window, level - 0.004 - 0.4 * dx, VIRIDIAN, 0.8, ragged=0.003, soft=0.005)
    sheet.wash(
        window, np.minimum(level, 0.003 - np.abs(dx + 0.002 * np.sin(dy * 200))), SCARLET, 1.0, ragged=0.001
    )


def _cornflower(sheet: Sheet, cx: float, cy: float, size: float) -> None:
    rng = sheet.rng
    window = sheet.around(cx, cy, 1.6 * size)
    dx, dy = sheet.x[window] - cx, (sheet.y[window] - cy) / 0.8
    r, ray = np.hypot(dx, dy), np.arctan2(dy, dx)
    turn = rng.uniform(0, np.pi)
    for petals, reach, pigment, strength in ((9, 1.0, COBALT, 1.0), (7, 0.72, ULTRAMARINE, 0.8)):
        lobe = np.abs(np.cos(petals * (ray + turn) / 2)) ** 0.8
        fork = 1 + 0.10 * np.cos(3 * petals * (ray + turn))
        level = np.asarray((size * reach * (0.30 + 0.70 * lobe) * fork - r) * 0.5, np.float32)
        if pigment == COBALT:
            sheet.lift(window, 0.8 * smoothstep(0, 0.005, level))
        sheet.wash(
            window, level, pigment, strength, ragged=0.004, rim=0.7, load=1.2 - 0.5 * np.clip(r / size, 0, 1)
        )
    sheet.wash(window, np.asarray(0.24 * size - r, np.float32), VIOLET, 1.4, ragged=0.006, soft=0.004)
