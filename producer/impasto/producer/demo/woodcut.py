"""A colour woodcut: a few flat inks under a black key block, carved in lines that follow the forms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from impasto.producer.demo.fields import Field, blur, grid, noise, smoothstep, wander
from impasto.producer.demo.scenes import Ramp, mixed, rgb

OVERSAMPLING = 2

PAPER = "f3e6c8"
KEY = "15161c"
INDIGO = ("f0dfba", "d9d2b8", "93b0b4", "4a7f9c", "1f4e7d", "142f5c")
SEA = ("17386b", "1f5284", "3f7f9f", "86b5b4")
VERMILION = ("b92b1d", "d8432a", "e8623a")
FOAM = ("f8f1de", "f8f1de")
NEEDLES = ("123b3a", "2f6650", "6f9a58")
OCHRE = ("a9682c", "c98a3c", "e3b565")


class Block:
    """Flat inks and the key block's black, at OVERSAMPLING times the picture's resolution."""

    def __init__(self, size_px: int, rng: np.random.Generator) -> None:
        self.side = size_px * OVERSAMPLING
        self.rng = rng
        self.x, self.y = grid(self.side)
        self.ink: Field = np.broadcast_to(rgb(PAPER), (self.side, self.side, 3)).copy()
        self.key: NDArray[np.bool_] = np.zeros((self.side, self.side), bool)
        self.tremble = noise(rng, self.side, 26, octaves=2)
        self._grain = noise(rng, self.side, (3, 90), octaves=3)

    def add(
        self,
        mask: NDArray[np.bool_],
        ramp: Ramp,
        tone: Field | float,
        lines: Field,
        light: Field | float,
        *,
        outline_px: float = 0,
    ) -> None:
        """Lays a form over the others: its ink, its carving and a black outline (at 768 px).

        `lines` grows by 1 from one carved line to the next; `light` (0…1) is the share of wood cut away.
        """
        window = _window(mask, margin=self.side // 64)
        inside = mask[window]
        tremble = self.tremble[window]
        line = np.broadcast_to(lines, mask.shape)[window]
        cut: Field = np.broadcast_to(np.float32(light), mask.shape)[window]
        # A gouge swells and thins, and its cuts end: the share cut varies along the line and between lines.
        number = np.floor(line)
        cut = cut + 0.10 * np.sin(7.3 * number + 30 * self.x[window] + 26 * self.y[window] + 1.5 * tremble)
        black = np.abs(2 * (line - number) - 1) > cut + 0.05 * tremble
        self.ink[window][inside] = mixed(ramp, np.broadcast_to(np.float32(tone), mask.shape)[window][inside])
        self.key[window][inside] = black[inside]
        if outline_px > 0:
            rim = blur(inside.astype(np.float32), outline_px * self.side / 1536)
            low = np.clip(0.16 + 0.05 * tremble, 0.04, 0.3)
            self.key[window] |= (rim > low) & (rim < low + 0.46)

    def spatter(self, where: NDArray[np.bool_], colour: str, cells: float) -> None:
        """Drops of one ink over what is there."""
        drops = (noise(self.rng, self.side, cells, octaves=1) > 1.75) & where
        self.ink[drops] = rgb(colour)
        self.key[drops] = False

    def printed(self) -> Field:
        """The print [size_px, size_px, 3] in 0…1: inks that take unevenly on the paper, the wood's grain."""
        fleck = noise(self.rng, self.side, 150, octaves=2)
        worn = (fleck + 0.9 * self._grain > 3.1) & self.key
        key = self.key & ~worn
        paper = rgb(PAPER)
        take = np.clip(0.93 + 0.035 * self._grain + 0.03 * fleck, 0.6, 1)[..., None]
        colour = paper * (1 - take) + self.ink * take
        black = np.clip(0.95 + 0.025 * fleck, 0.8, 1)[..., None]
        colour = np.where(key[..., None], colour * (1 - black) + rgb(KEY) * black, colour)
        fold = colour.reshape(
            self.side // OVERSAMPLING, OVERSAMPLING, self.side // OVERSAMPLING, OVERSAMPLING, 3
        )
        return np.asarray(fold.mean(axis=(1, 3)), np.float32)


def _window(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """The smallest rectangle that holds the mask, with a margin; the whole picture if the mask is empty."""
    spans = []
    for axis in (1, 0):
        hit = np.flatnonzero(mask.any(axis=axis))
        first, last = (int(hit[0]), int(hit[-1])) if hit.size else (0, mask.shape[0] - 1)
        spans.append(slice(max(0, first - margin), last + 1 + margin))
    return spans[0], spans[1]


def _swell(x: Field, count: float, shift: float, steepness: float) -> Field:
    """Height 0…1 of a sea's wave line: round troughs and pointed, leaning crests."""
    turn = (x * count + shift) % 1
    lean = turn + 0.10 * np.sin(2 * np.pi * turn)
    return np.asarray((1 - np.abs(np.sin(np.pi * lean))) ** steepness, np.float32)


def woodcut(size_px: int, rng: np.random.Generator) -> Field:
    """A red sun and a snow mountain over a running sea, with a pine at the edge."""
    block = Block(size_px, rng)
    x, y = block.x, block.y
    everywhere = np.ones_like(x, bool)
    sun_x, sun_y, sun = 0.70 + rng.uniform(-0.03, 0.03), 0.27, 0.125
    peak_x, peak_y = 0.34 + rng.uniform(-0.04, 0.04), 0.25

    r = np.hypot(x - sun_x, y - sun_y)
    warp = 0.012 * noise(rng, block.side, 3, octaves=2)
    sky = np.where(
        y < 0.62,
        y
        + warp
        + 0.10 * np.exp(-((r / 0.22) ** 2)) * np.sign(y - sun_y) * smoothstep(0.0, 0.1, np.abs(y - sun_y)),
        y,
    )
    dusk = smoothstep(0.50, 0.0, y)
    cloud = noise(rng, block.side, (2, 7), octaves=3)
    light = 0.55 + 0.5 * smoothstep(0.02, 0.40, y) + 0.10 * cloud - 0.25 * smoothstep(0.12, 0.0, y)
    block.add(everywhere, INDIGO, dusk * 0.9 + 0.05, sky * 62, light)
    block.add(
        r < sun,
        VERMILION,
        smoothstep(sun, -sun, y - sun_y),
        (y + warp) * 62,
        1.2 - 0.9 * smoothstep(0.02, 0.16, y - sun_y + 0.03),
        outline_px=3,
    )

    run = x - peak_x
    flank = (
        peak_y
        + 0.40 * (1 - np.exp(-np.abs(run) * 3.0))
        + 0.012 * wander(rng, x[:1], 14) * smoothstep(0, 0.06, np.abs(run))
    )
    flank = np.maximum(flank, peak_y + 0.012)
    below = y - flank
    fall = run / (0.06 + np.maximum(y - peak_y, 0) * 0.9)
    carve = fall * 17 + 0.35 * noise(rng, block.side, 9, octaves=2)
    snow = below < 0.075 + 0.05 * np.abs(
        wander(rng, np.clip(fall * 0.25 + 0.5, 0, 1), 15, octaves=2)
    ) - 0.5 * np.maximum(np.abs(run) - 0.05, 0)
    shade = smoothstep(-0.03, 0.07, run + 0.15 * below * np.sin(9 * y))
    block.add(
        below > 0,
        INDIGO,
        0.62 + 0.3 * smoothstep(0.65, 0.3, y),
        carve,
        0.72 - 0.62 * shade + 0.5 * smoothstep(0.45, 0.62, y),
        outline_px=3,
    )
    block.add((below > 0) & snow, FOAM, 0, carve, 1.15 - 0.72 * shade)

    for base, height, cells, tone in ((0.60, 0.03, 6, 0.45), (0.635, 0.022, 9, 0.75)):
        top = base - height * np.abs(wander(rng, x[:1], cells)) - 0.03 * smoothstep(0.6, 1.0, x)
        depth = y - top
        block.add(
            depth > 0,
            OCHRE,
            1 - 10 * depth,
            (depth + 0.2 * warp) * 130 + 3 * wander(rng, x[:1], 20),
            0.75 - tone * 0.6 + 2 * depth,
            outline_px=2,
        )

    _sea(block)
    _pine(block)
    return block.printed()


def _sea(block: Block) -> None:
    """Rows of waves, far to near, whose crests lean over and break in claws of foam."""
    x, y, rng = block.x, block.y, block.rng
    waves = 7
    for k in range(waves):
        near = k / (waves - 1)
        base = 0.668 + 0.30 * near**1.2
        height = 0.016 + 0.15 * near**1.3
        count = 8.5 - 6.9 * near**0.6
        shift = rng.uniform(0, 1)
        up = np.clip((base - y) / height, 0, 1.2)
        # The higher the water the further it has run ahead: this shear makes crests hang over.
        ahead = x - (0.13 * up + 0.20 * up**3) / count * (0.5 + 0.5 * near)
        swell = _swell(ahead, count, shift, 1.35)
        rise = 1 + 0.22 * wander(rng, x[:1], 5)
        depth = y - base + height * (swell * rise - 0.2)
        spacing = 0.0072 + 0.0085 * near
        lines = (
            depth + 0.12 * height * np.sin(2 * np.pi * ahead * count) * smoothstep(0, 0.1, depth)
        ) / spacing
        tone = 0.92 - 4.2 * depth / (0.35 + near) + 0.10 * block.tremble
        deep = 0.9 - 5.5 * depth / (0.4 + near)
        block.add(depth > 0, SEA, deep, lines, np.clip(tone, 0.14, 1.3), outline_px=1.5 + 2 * near)
        finger = np.abs((ahead * count * 9 + 3 * depth / height + 0.25 * block.tremble) % 1 - 0.5) * 2
        drip = (0.05 + 0.42 * swell**1.5) * height * (0.35 + 1.1 * finger**1.5)
        foam = (depth > 0) & (depth < drip) & (swell > 0.16)
        block.add(
            foam, FOAM, 0, depth / (0.5 * spacing) + 0.3, 1.05 - 0.4 * depth / height, outline_px=1.2 + near
        )
        block.spatter((depth < 0) & (depth > -0.45 * height) & (swell > 0.42), FOAM[0], 70 - 30 * near)


def _pine(block: Block) -> None:
    """A pine's trunk and cushions of needles, reaching in from the left edge and the top."""
    x, y, rng = block.x, block.y, block.rng
    bark = noise(rng, block.side, 5, octaves=2)
    trunk_x = 0.055 + 0.035 * np.sin(4.2 * y + 0.4) + 0.01 * wander(rng, y[:, :1], 7)
    girth = 0.022 + 0.03 * y**2
    across = (x - trunk_x) / girth
    for sx, sy, ex, ey, thick in (
        (0.07, 0.36, 0.30, 0.155, 0.011),
        (0.06, 0.60, 0.22, 0.50, 0.009),
        (0.06, 0.16, 0.20, 0.055, 0.010),
    ):
        share = np.clip((x - sx) / (ex - sx), 0, 1)
        limb = sy + (ey - sy) * share + 0.022 * np.sin(7 * share)
        mask = (np.abs(y - limb) < thick * (1.15 - share)) & (x > sx) & (x < ex)
        block.add(mask, OCHRE, 0, x * 60, 0.3, outline_px=2)
    block.add(
        np.abs(across) < 1,
        OCHRE,
        0.6 - 0.5 * across,
        y * 46 + 3 * across**2 + 1.2 * bark,
        0.62 - 0.5 * across,
        outline_px=3.5,
    )
    cushions = (
        (0.30, 0.135, 0.105),
        (0.21, 0.205, 0.075),
        (0.22, 0.485, 0.085),
        (0.145, 0.545, 0.06),
        (0.20, 0.035, 0.11),
        (0.05, 0.075, 0.11),
        (0.075, 0.31, 0.07),
    )
    for cx, cy, radius in cushions:
        dx, dy = x - cx, (y - cy) * 2.3
        turn = np.arctan2(dy + 0.6 * radius, dx)
        r = np.hypot(dx, dy)
        rim = radius * (1 + 0.10 * np.sin(23 * turn) + 0.05 * np.sin(41 * turn))
        fan = np.arctan2(y - cy - 0.55 * radius, dx) * 15
        light = 0.10 + 0.75 * smoothstep(0.15, -0.5, dy / radius) * smoothstep(0.25, 0.9, r / radius)
        block.add(r < rim, NEEDLES, 0.5 - 0.6 * dy / radius, fan, light, outline_px=3)
