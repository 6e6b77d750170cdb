"""Motifs, before any manner: what is at each place of a picture, how light it is and which way it runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from impasto.producer.demo.fields import Field, grid, look_up, noise, smoothstep, wander

Ramp = Sequence[str]


def rgb(colour: str) -> Field:
    """`rrggbb` as three numbers in 0…1."""
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)], np.float32)


def mixed(ramp: Ramp, tone: Field) -> Field:
    """Colours [..., 3] on a ramp of `rrggbb` from dark (tone 0) to light (tone 1)."""
    table = np.stack([rgb(colour) for colour in ramp])
    position = np.clip(tone, 0, 1) * (len(table) - 1)
    left = np.minimum(position.astype(np.intp), len(table) - 2)
    share = (position - left)[..., None].astype(np.float32)
    return np.asarray(table[left] * (1 - share) + table[left + 1] * share, np.float32)


class Scene:
    """Forms laid over each other, back to front.

    `region` numbers the form at each pixel, `tone` (0…1) is a place on that form's ramp, `angle` (radians)
    the direction that a brush would follow there.
    """

    def __init__(self, size_px: int) -> None:
        self.size_px = size_px
        self.x, self.y = grid(size_px)
        self.region: NDArray[np.int16] = np.zeros((size_px, size_px), np.int16)
        self.tone: Field = np.zeros((size_px, size_px), np.float32)
        self.angle: Field = np.zeros((size_px, size_px), np.float32)
        self.ramps: list[Ramp] = []

    def add(self, mask: NDArray[np.bool_], ramp: Ramp, tone: Field | float, angle: Field | float) -> int:
        """Lays one more form over the others and returns its number."""
        number = len(self.ramps)
        self.ramps.append(ramp)
        self.region[mask] = number
        self.tone = np.where(mask, np.float32(tone), self.tone).astype(np.float32)
        self.angle = np.where(mask, np.float32(angle), self.angle).astype(np.float32)
        return number

    def image(self) -> Field:
        """The scene in flat colour [size_px, size_px, 3]."""
        flat = self.colours(self.x.ravel(), self.y.ravel(), np.zeros(self.x.size, np.float32))
        return flat.reshape(self.size_px, self.size_px, 3)

    def colours(self, x: Field, y: Field, jitter: Field) -> Field:
        """Each point's colour [n, 3], its tone moved by `jitter` along its form's ramp."""
        region = look_up(self.region, x, y)
        tone = look_up(self.tone, x, y) + jitter
        colour = np.empty((len(x), 3), np.float32)
        for number, ramp in enumerate(self.ramps):
            here = region == number
            colour[here] = mixed(ramp, tone[here])
        return colour


def drawn_along(field: Field, angle: Field, reach: float, steps: int = 14) -> Field:
    """The mean of a field along the streamlines through each pixel, `reach` to either side.

    Line integral convolution (Cabral and Leedom 1993), which turns noise into bands that follow the flow.
    """
    size_px = field.shape[0]
    x, y = grid(size_px)
    total = field.copy()
    for sign in (-1, 1):
        px, py = x, y
        for _ in range(steps):
            heading = look_up(angle, px, py)
            px = px + sign * reach / steps * np.cos(heading)
            py = py + sign * reach / steps * np.sin(heading)
            total += look_up(field, px, py)
    return np.asarray(total / total.std(), np.float32)


NIGHT = ("0a1230", "12225a", "1c3b8c", "2f62b3", "5b93cf", "9cc3dc", "dfe9d2")
GLOW = ("b9772a", "dd9a2b", "f2bd3c", "f8dc74", "fdf3bd", "fffbe6")
HALO = ("3f7fb8", "6fa9bd", "a9cbae", "e3dd92", "f7e7a0", "fdf4c4")
CYPRESS = ("07100f", "0d1d1a", "17332a", "2c4a30", "54602f", "8a6a2c")
HILLS = ("0d1a3f", "173064", "2a5488", "4a80a0", "86aab0")
MEADOW = ("14301f", "27502c", "52702f", "8d8a35", "c9a53d")
WHEAT = ("5a3413", "8f5a1c", "c48426", "e5ab3a", "f6cd62", "fce9a6")


def nocturne(size_px: int, rng: np.random.Generator) -> Scene:
    """A night sky in motion over hills and a wheat field, with a cypress in front of it."""
    scene = Scene(size_px)
    x, y = scene.x, scene.y
    everywhere = np.ones_like(x, bool)

    drift = 0.35 * noise(rng, size_px, 2, octaves=2) + 0.5 * np.sin(5.0 * x + 1.5) * smoothstep(0.75, 0.3, y)
    u, v = np.cos(drift), np.sin(drift)
    side = rng.uniform(-0.04, 0.04)
    eddies = [
        (0.53 + side, 0.30 + rng.uniform(-0.03, 0.03), 0.17, 1.0),
        (0.76 + side, 0.47 + rng.uniform(-0.03, 0.03), 0.10, -1.0),
        (0.36 + side, 0.53, 0.075, -1.0),
    ]
    swirl = np.zeros_like(x)
    for cx, cy, radius, sense in eddies:
        dx, dy = x - cx, (y - cy) * 1.15
        r = np.hypot(dx, dy) + 1e-6
        pull = 3.2 * np.exp(-((r / radius) ** 2) * 0.9)
        inward = 0.22
        u += pull * (-sense * dy - inward * dx) / r
        v += pull * (sense * dx - inward * dy) / r
        arms = np.cos(2 * np.arctan2(dy, dx) * sense - 5.5 * np.log(r / radius + 0.25))
        swirl += arms * np.exp(-((r / radius) ** 2) * 0.55) + 1.9 * np.exp(-((r / radius) ** 2) * 7)
    lights = [(0.85, 0.15, 0.052)]
    for _ in range(400):
        if len(lights) == 11:
            break
        cx, cy = rng.uniform(0.04, 0.97), rng.uniform(0.04, 0.5)
        radius = rng.uniform(0.014, 0.026)
        clear = all(np.hypot(cx - a, cy - b) > 2.3 * (radius + c) for a, b, c in lights)
        if clear and all(np.hypot(cx - a, cy - b) > 0.85 * c for a, b, c, _ in eddies):
            lights.append((cx, cy, radius))
    halo = np.zeros_like(x)
    for cx, cy, radius in lights:
        dx, dy = x - cx, y - cy
        r = np.hypot(dx, dy) + 1e-6
        around = 5 * np.exp(-((r / (2.3 * radius)) ** 2))
        u += around * -dy / r
        v += around * dx / r
        halo = np.maximum(
            halo, np.exp(-((r / (1.75 * radius)) ** 2)) * (0.86 + 0.14 * np.cos(9 * r / radius))
        )
    sky_angle = np.arctan2(v, u).astype(np.float32)
    bands = drawn_along(noise(rng, size_px, 9, octaves=2), sky_angle, 0.12)
    sky = (
        0.33
        + 0.10 * bands
        + 0.20 * swirl
        + 0.30 * smoothstep(0.25, 0.72, y)
        - 0.10 * smoothstep(0.25, 0.0, y)
    )
    scene.add(everywhere, NIGHT, sky, sky_angle)
    scene.add(halo > 0.22, HALO, 1.25 * halo - 0.2 + 0.04 * bands, sky_angle)
    for cx, cy, radius in lights:
        r = np.hypot(x - cx, y - cy)
        scene.add(r < 0.62 * radius, GLOW, 0.95 - 0.75 * (r / radius) ** 2, sky_angle)
    mx, my, radius = lights[0]
    bite = np.hypot(x - mx + 0.55 * radius, y - my + 0.1 * radius) < 0.75 * radius
    disc = np.hypot(x - mx, y - my)
    scene.add((disc < 0.95 * radius) & ~bite, GLOW, 0.45 - 0.3 * disc / radius, sky_angle)

    for base, height, cells, ramp, light in (
        (0.655, 0.055, 3, HILLS, 0.62),
        (0.715, 0.045, 4, HILLS, 0.36),
        (0.790, 0.040, 4, MEADOW, 0.45),
    ):
        top = base + height * wander(rng, x, cells, octaves=2, gain=0.35)
        slope = np.arctan(np.gradient(top, axis=1) * size_px).astype(np.float32)
        below = y - top
        roll = 0.5 * np.sin(below * 60 + 8 * wander(rng, x, 4))
        tone = light + 0.28 * np.exp(-below * 45) - 1.2 * below + 0.12 * roll
        scene.add(below > 0, ramp, tone, slope * np.exp(-below * 6) + 0.35 * roll)
    edge = 0.845 + 0.03 * wander(rng, x, 3, octaves=1)
    vanish = np.arctan2(y - 0.62, x - 0.62).astype(np.float32)
    rows = np.sin(vanish * 34 + 0.6 * noise(rng, size_px, 4))
    wheat = 0.52 + 0.24 * rows + 0.10 * noise(rng, size_px, 5, octaves=2) - 0.5 * smoothstep(0.9, 1.05, y)
    scene.add(y > edge, WHEAT, wheat, vanish + 0.2 * noise(rng, size_px, 5, octaves=2))

    for foot, tip, width in ((0.185, 0.085, 0.105), (0.315, 0.46, 0.052)):
        up = np.clip((1.02 - y) / (1.02 - tip), 0, 1)
        sway = foot + 0.022 * np.sin(7 * up + 0.6) * up + 0.012 * wander(rng, up, 6)
        belly = np.maximum(np.sin(np.pi * up**0.72), 0) ** 0.75 * (1 - up) ** 0.28
        left = width * belly * (1 + 0.26 * wander(rng, up, 11, octaves=2))
        right = width * belly * (1 + 0.26 * wander(rng, up, 11, octaves=2))
        across = x - sway
        inside = (across > -left) & (across < right) & (up > 0.0) & (y > tip)
        share = across / np.maximum(width * belly, 1e-3)
        lick = np.sin(9 * share + 26 * up + 2 * noise(rng, size_px, 6, octaves=2))
        flame = -np.pi / 2 + 0.55 * share * (0.35 + up) + 0.35 * lick
        scene.add(inside, CYPRESS, 0.30 + 0.22 * lick + 0.12 * share, flame.astype(np.float32))
    scene.angle += 0.06 * noise(rng, size_px, 14, octaves=2)
    return scene


DUSK = ("5b4a9c", "8a6bb8", "c77fa8", "f09a6a", "fbbf4f", "fde58a", "fff6d0")
WATER = ("1d2f78", "2f4fa0", "5c6fbe", "a783bd", "f0a070", "fcd070", "fff3c4")
BANK = ("1c1b52", "3a3583", "5f56a4", "8a7cb4", "c8969c")
LEAVES = ("101846", "17306b", "165a4a", "2c8a43", "86b53a", "e3c33c")
GRASS = ("132a5e", "155b55", "2f8f48", "83b940", "d8d24a", "f7ea86")
SAIL = ("8f5aa0", "e8926a", "fbd58c", "fff6dc")
HULL = ("1b1440", "57204f", "b23a36")


def river(size_px: int, rng: np.random.Generator) -> Scene:
    """A river at sunset with sails on it, seen from under a tree on the near bank."""
    scene = Scene(size_px)
    x, y = scene.x, scene.y
    everywhere = np.ones_like(x, bool)
    horizon = 0.47
    sun_x, sun_y = 0.36 + rng.uniform(-0.05, 0.05), 0.335
    r = np.hypot(x - sun_x, (y - sun_y) * 1.1)
    clouds = drawn_along(noise(rng, size_px, (3, 8), octaves=3), np.zeros_like(x), 0.08)
    sky = 0.12 + 0.62 * smoothstep(-0.05, 0.5, y) + 0.28 * np.exp(-((r / 0.17) ** 2)) + 0.06 * clouds
    scene.add(everywhere, DUSK, sky, 0.25 * clouds)
    scene.add(r < 0.048, DUSK, 1.0, np.arctan2(y - sun_y, x - sun_x) + np.pi / 2)

    far = horizon - 0.035 - 0.035 * np.abs(wander(rng, x, 7, octaves=3))
    far -= 0.07 * smoothstep(0.62, 0.95, x) + 0.03 * smoothstep(0.3, 0.0, x)
    puffs = noise(rng, size_px, 22, octaves=2)
    scene.add(
        y > far, BANK, 0.42 - 2.2 * (y - far) + 0.12 * puffs + 0.25 * np.exp(-((x - sun_x) ** 2) / 0.02), 0.0
    )

    ripple = noise(rng, size_px, (9, 60), octaves=2)
    deep = smoothstep(horizon, 1.0, y)
    glitter = np.exp(-(((x - sun_x) / (0.035 + 0.16 * deep)) ** 2)) * (0.85 + 0.35 * ripple)
    water = 0.60 - 0.45 * deep + 0.10 * ripple + 0.50 * glitter
    water -= 0.30 * np.exp(-(((y - horizon) / 0.035) ** 2)) * (1 - glitter)
    scene.add(y > horizon, WATER, water, 0.0)

    for cx, foot, height in ((0.615, 0.575, 0.25), (0.20, 0.515, 0.105), (0.475, 0.492, 0.06)):
        cx += rng.uniform(-0.02, 0.02)
        up = (foot - y) / height
        mast = cx - 0.02 * height
        main = (
            (up > 0.06) & (up < 1) & (x > mast) & (x < mast + 0.47 * height * np.maximum(1 - up, 0) ** 0.85)
        )
        jib = (
            (up > 0.08) & (up < 0.84) & (x < mast - 0.02 * height) & (x > mast - 0.36 * height * (0.86 - up))
        )
        glow = 0.75 - 0.9 * np.abs(x - mast) / height + 0.2 * up
        scene.add(main, SAIL, glow - 0.25, np.pi / 2)
        scene.add(jib, SAIL, glow + 0.1, np.pi / 2)
        hull = (np.abs(x - cx) < 0.33 * height + 1.3 * (foot - y)) & (np.abs(up) < 0.06)
        scene.add(hull, HULL, 0.45 + 4 * (foot - y), 0.0)
        down = (y - foot) / height
        wobble = 0.035 * height * np.sin(y * 190) * (0.3 + down)
        mirrored = (
            (down > 0.07)
            & (down < 0.85)
            & (np.abs(x - cx - 0.05 * height + wobble) < 0.27 * height * (1 - down))
        )
        scene.add(mirrored & (ripple > -0.5), SAIL, 0.55 - 0.35 * down + 0.1 * ripple, 0.0)

    lean = 0.865 + 0.03 * np.sin(4 * y + 0.5) + 0.05 * smoothstep(0.5, 0.0, y)
    girth = 0.022 + 0.004 * smoothstep(0.62, 0.80, y) - 0.008 * smoothstep(0.5, 0.1, y)
    trunk = np.abs(x - lean) < girth
    scene.add(trunk, HULL, 0.35 - 12 * (x - lean), np.pi / 2)
    edge = 0.90 - 0.16 * smoothstep(0.45, 1.05, x) - 0.02 * wander(rng, x, 5) - 0.05 * smoothstep(0.3, 0.0, x)
    tuft = noise(rng, size_px, (26, 9), octaves=2)
    below = y - edge + 0.012 * noise(rng, size_px, (60, 6), octaves=1)
    meadow = 0.62 - 2.6 * below + 0.13 * tuft + 0.12 * noise(rng, size_px, 4, octaves=2)
    scene.add(below > 0, GRASS, meadow, -np.pi / 2 + 0.3 * tuft)

    crown = np.full_like(x, -1)
    for cx, cy, radius in (
        (0.88, 0.12, 0.21),
        (0.70, 0.075, 0.12),
        (0.97, 0.29, 0.13),
        (0.79, 0.24, 0.085),
        (0.56, 0.02, 0.10),
    ):
        crown = np.maximum(crown, 1 - np.hypot(x - cx, (y - cy) * 1.25) / radius)
    leaves = crown + 0.24 * noise(rng, size_px, 15, octaves=3)
    lit = (
        0.40
        + 0.20 * noise(rng, size_px, 11, octaves=2)
        + 0.30 * smoothstep(0.95, 0.6, x)
        - 0.5 * np.clip(crown, 0, 1)
    )
    scene.add(leaves > 0.10, LEAVES, lit, 0.8 * noise(rng, size_px, 6, octaves=2))
    return scene
