"""A mosaic of gold and glass: tesserae of uneven cut, laid in rows that follow the forms, in dark mortar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from impasto.producer.demo.fields import Field, blur, grid, look_up, noise, smoothstep, wander
from impasto.producer.demo.scenes import Scene

OVERSAMPLING = 2
_ROUNDS = 8

GOLD = ("7a4a12", "b07a1e", "d9a431", "efc653", "fbe493")
BARK = ("1c0f0c", "3a1d14", "6b3a1d", "a86a2c")
EARTH = ("0d2b2e", "14504a", "2f7f55", "7fae4a", "cfcf6a")
RIVER = ("0c1c4a", "15367f", "1f6fb0", "4fb3c4", "bfe3d6")
LAPIS = ("10185a", "1f3fb0", "4f86d8")
TURQUOISE = ("0a5a66", "18a0a0", "7fdccb")
RUBY = ("5a0a1c", "b3152a", "ea4a3a")
PEARL = ("cfc3a6", "f3ead2", "fffaf0")
COAL = ("120c18", "241a2c")


def tree(size_px: int, rng: np.random.Generator) -> Scene:
    """A tree whose branches roll up into spirals, golden sky behind it, flowers under it."""
    scene = Scene(size_px)
    x, y = scene.x, scene.y
    glow = np.exp(-(((x - 0.5) ** 2 + (y - 0.40) ** 2) / 0.16))
    scene.add(np.ones_like(x, bool), GOLD, 0.30 + 0.50 * glow + 0.10 * noise(rng, size_px, 4, octaves=3), 0.0)
    line = 0.80 + 0.03 * wander(rng, x[:1], 3, octaves=1) - 0.05 * np.exp(-(((x[:1] - 0.5) / 0.22) ** 2))
    depth = y - line
    scene.add(depth > 0, EARTH, 0.85 - 3.4 * depth + 0.10 * noise(rng, size_px, 6, octaves=2), 0.0)
    brook = np.abs(y - 0.945 - 0.025 * np.sin(7 * x + 1) - 0.12 * (x - 0.5) ** 2) < 0.028 + 0.012 * np.sin(
        5 * x
    )
    scene.add(brook, RIVER, 0.45 + 0.35 * np.sin(9 * x + 60 * y), 0.0)

    wood = Image.new("L", (size_px * 2, size_px * 2))
    curls = _Curls(ImageDraw.Draw(wood), size_px * 2, rng)
    curls.trunk()
    for side, branches in ((-1, _LEFT), (1, _RIGHT)):
        for height, lift, reach, curl, sense, width in branches:
            lift += float(rng.uniform(-0.05, 0.05))
            heading = -lift if side > 0 else np.pi + lift
            curls.branch(
                0.5, height, heading, reach, curl * float(rng.uniform(0.95, 1.08)), side * sense, width
            )
    covered = np.asarray(wood.resize((size_px, size_px), Image.Resampling.BOX)) > 110
    scene.add(covered, BARK, 0.28 + 0.22 * noise(rng, size_px, 9, octaves=2) + 0.25 * (0.5 - y), 0.0)

    for cx, cy, radius in curls.eyes:
        _jewel(scene, cx, cy, radius, rng)
    for _ in range(34):
        cx = float(rng.uniform(0.02, 0.98))
        cy = float(rng.uniform(0.83, 0.99))
        if abs(cx - 0.5) > 0.09:
            _jewel(scene, cx, cy, float(rng.uniform(0.012, 0.026)), rng)
    for edge in (x, 1 - x, y, 1 - y):
        scene.add(edge < 0.030, LAPIS, 0.35 + 0.2 * np.sin(80 * (x + y)), 0.0)
        scene.add(edge < 0.013, COAL, 0.4, 0.0)
    return scene


def _jewel(scene: Scene, cx: float, cy: float, radius: float, rng: np.random.Generator) -> None:
    """Rings of glass about a bright middle."""
    r = np.hypot(scene.x - cx, scene.y - cy)
    hues = (LAPIS, TURQUOISE, RUBY, PEARL)
    first = int(rng.integers(4))
    for number, share in enumerate((1.0, 0.66, 0.34)):
        hue = COAL if number == 0 and first % 2 == 0 else hues[(first + number) % 4]
        scene.add(r < share * radius, hue, 0.6 + 0.3 * (cy - scene.y) / radius, 0.0)


# Distance between two turns of a rolled branch.
_ROLL_GAP = 0.036
# Height of the fork, lift in radians, reach before the roll, radius of the roll, its sense (1: down), width.
_LEFT = (
    (0.660, 0.00, 0.22, 0.078, -1, 0.026),
    (0.560, 0.28, 0.39, 0.066, 1, 0.027),
    (0.510, 0.50, 0.24, 0.074, -1, 0.024),
    (0.440, 0.75, 0.40, 0.092, 1, 0.029),
    (0.380, 1.10, 0.14, 0.052, 1, 0.020),
)
_RIGHT = (
    (0.680, -0.05, 0.17, 0.064, -1, 0.023),
    (0.605, 0.24, 0.37, 0.074, 1, 0.028),
    (0.530, 0.45, 0.26, 0.076, -1, 0.025),
    (0.450, 0.80, 0.42, 0.086, 1, 0.029),
    (0.400, 1.20, 0.20, 0.082, -1, 0.025),
)


class _Curls:
    """Draws tapering branches whose curvature grows until they roll up; remembers the spirals' eyes."""

    def __init__(self, draw: ImageDraw.ImageDraw, side_px: int, rng: np.random.Generator) -> None:
        self._draw, self._side, self._rng = draw, side_px, rng
        self.eyes: list[tuple[float, float, float]] = []

    def _disc(self, x: float, y: float, radius: float) -> None:
        box = [(v + d * radius) * self._side for d in (-1, 1) for v in (x, y)]
        self._draw.ellipse(box, fill=255)

    def trunk(self) -> None:
        for share in np.linspace(0, 1, 260):
            y = 0.98 - 0.62 * share
            x = 0.5 + 0.012 * np.sin(6 * share)
            self._disc(float(x), float(y), float(0.030 + 0.075 * (1 - share) ** 5 - 0.012 * share))

    def branch(
        self, x: float, y: float, heading: float, reach: float, curl: float, sense: int, width: float
    ) -> None:
        """From (x, y) in a slight S for `reach`, then rolled up from radius `curl`; sense 1: clockwise."""
        step = 0.002
        travelled, turned, whole = 0.0, 0.0, 2 * np.pi * curl * 0.85 / _ROLL_GAP
        while turned < whole:
            rolled = turned / whole
            radius = curl * (1 - 0.80 * rolled) if travelled > reach else max(2.2 * reach, curl)
            bend = sense * step / radius
            if travelled > reach:
                turned += abs(bend)
            else:
                bend *= -np.cos(np.pi * travelled / reach)
            heading += bend
            travelled += step
            x += step * float(np.cos(heading))
            y += step * float(np.sin(heading))
            self._disc(x, y, 0.5 * width * (1 - 0.25 * min(1, travelled / reach) - 0.40 * rolled))
        if 0.06 < x < 0.94 and 0.06 < y < 0.76:
            self.eyes.append((x, y, 0.011 + 0.11 * curl))


def _towards_edge(region: NDArray[np.int16]) -> tuple[Field, Field]:
    """For each pixel the vector, in pixels, to the nearest pixel where another form begins.

    Jump flooding (Rong and Tan 2006).
    """
    side = region.shape[0]
    edge = np.zeros(region.shape, bool)
    edge[:, 1:] |= region[:, 1:] != region[:, :-1]
    edge[1:] |= region[1:] != region[:-1]
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    near_r = np.where(edge, rows, np.float32(1e4))
    near_c = np.where(edge, columns, np.float32(1e4))
    best = (near_r - rows) ** 2 + (near_c - columns) ** 2
    jump = 1 << (side - 1).bit_length() >> 1
    while jump:
        for dr in (-jump, 0, jump):
            for dc in (-jump, 0, jump):
                to = (slice(max(0, -dr), side - max(0, dr)), slice(max(0, -dc), side - max(0, dc)))
                of = (slice(max(0, dr), side - max(0, -dr)), slice(max(0, dc), side - max(0, -dc)))
                far = (near_r[of] - rows[to]) ** 2 + (near_c[of] - columns[to]) ** 2
                closer = far < best[to]
                best[to][closer] = far[closer]
                near_r[to][closer] = near_r[of][closer]
                near_c[to][closer] = near_c[of][closer]
        jump >>= 1
    return near_c - columns, near_r - rows


class _Tesserae:
    """Centres, directions and sizes of the stones, in unit coordinates."""

    def __init__(self, region: NDArray[np.int16], turn: Field, size: Field, rng: np.random.Generator) -> None:
        self.region, self.turn, self._size_map = region, turn, size
        finest = float(size.min())
        side = int(1 / finest)
        column, row = (a.ravel() for a in np.meshgrid(np.arange(side), np.arange(side)))
        x = ((column + rng.uniform(0.1, 0.9, column.size)) / side).astype(np.float32)
        y = ((row + rng.uniform(0.1, 0.9, row.size)) / side).astype(np.float32)
        keep = rng.uniform(0, 1, x.size) < (finest / look_up(size, x, y)) ** 2
        self.x, self.y = x[keep], y[keep]

    def owners(self, side: int) -> tuple[NDArray[np.intp], Field, Field]:
        """For every pixel of a picture `side` wide: its stone, and its place (-1…1) along and across it.

        A generalised Voronoi diagram in which each stone measures distance as a square turned its own way
        (Hausner 2001, "Simulating decorative mosaics").
        """
        turn = look_up(self.turn, self.x, self.y)[:, None]
        size = look_up(self._size_map, self.x, self.y)[:, None]
        home = look_up(self.region, self.x, self.y)[:, None]
        reach = int(np.ceil(float(size.max()) * side * 0.86))
        dy, dx = (d.ravel() for d in np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.int32))
        column = (self.x * side).astype(np.int32)[:, None] + dx
        row = (self.y * side).astype(np.int32)[:, None] + dy
        off_x = (column + np.float32(0.5)).astype(np.float32) / np.float32(side) - self.x[:, None]
        off_y = (row + np.float32(0.5)).astype(np.float32) / np.float32(side) - self.y[:, None]
        along = ((off_x * np.cos(turn) + off_y * np.sin(turn)) / (0.5 * size)).astype(np.float32)
        across = ((off_y * np.cos(turn) - off_x * np.sin(turn)) / (0.5 * size)).astype(np.float32)
        distance = np.maximum(np.abs(along), np.abs(across)) + 0.15 * (np.abs(along) + np.abs(across))
        inside = (column >= 0) & (column < side) & (row >= 0) & (row < side) & (distance < 1.9)
        stone = np.broadcast_to(np.arange(len(self.x))[:, None], inside.shape)[inside]
        column, row, distance, along, across = (a[inside] for a in (column, row, distance, along, across))
        where = ((column + 0.5) / side).astype(np.float32), ((row + 0.5) / side).astype(np.float32)
        foreign = look_up(self.region, *where) != np.broadcast_to(home, inside.shape)[inside]
        order = np.argsort(-(distance + 8 * foreign), kind="stable")
        cell = row[order].astype(np.intp) * side + column[order]
        owner = np.full(side * side, -1, np.intp)
        place = np.zeros((side * side, 2), np.float32)
        owner[cell] = stone[order]  # the last assignment, of the nearest stone, stays
        place[cell] = np.stack([along, across], 1)[order]
        return owner.reshape(side, side), place[:, 0].reshape(side, side), place[:, 1].reshape(side, side)

    def settle(self, side: int) -> None:
        """One round of Lloyd's relaxation: every stone moves to the middle of the pixels that it owns."""
        owner, _, _ = self.owners(side)
        x, y = grid(side)
        mine = owner.ravel() >= 0
        # A stone is measured by the part of its cell that lies in its own form.
        stone = owner.ravel()[mine]
        own = (
            look_up(self.region, x.ravel()[mine], y.ravel()[mine])
            == look_up(self.region, self.x, self.y)[stone]
        )
        stone = stone[own]
        count = np.bincount(stone, minlength=len(self.x))
        has = count > 0
        for axis, centre in ((x, self.x), (y, self.y)):
            total = np.bincount(stone, axis.ravel()[mine][own], minlength=len(self.x))
            centre[has] = total[has] / count[has]


def mosaic(size_px: int, rng: np.random.Generator) -> Field:
    scene = tree(size_px, rng)
    half = max(48, size_px * 2 // 5)
    x, y = grid(half)
    region = np.asarray(look_up(scene.region, x, y), np.int16)
    to_x, to_y = _towards_edge(region)
    # Directions are averaged as doubled angles, since a row of stones has no front.
    twice = 2 * np.arctan2(to_y, to_x)
    turn = 0.5 * np.arctan2(blur(np.sin(twice), half / 110), blur(np.cos(twice), half / 110))
    distance = np.hypot(to_x, to_y) / half
    fine = blur((region != 0).astype(np.float32), half / 200)
    stone_size = (0.0185 - 0.0065 * np.clip(fine, 0, 1) + 0.002 * smoothstep(0.0, 0.1, distance)).astype(
        np.float32
    )
    stones = _Tesserae(scene.region, turn.astype(np.float32), stone_size, rng)
    for _ in range(_ROUNDS):
        stones.settle(half)

    side = size_px * OVERSAMPLING
    owner, along, across = stones.owners(side)
    n = len(stones.x)
    colour = scene.colours(stones.x, stones.y, (0.11 * rng.standard_normal(n)).astype(np.float32))
    colour *= (1 + 0.07 * rng.standard_normal((n, 1)) + 0.03 * rng.standard_normal((n, 3))).astype(np.float32)
    tilt = (0.09 * rng.standard_normal((n, 2))).astype(np.float32)
    glint = (rng.uniform(0, 1, n) > 0.955).astype(np.float32) * 0.22

    mortar = (owner < 0) | (np.maximum(np.abs(along), np.abs(across)) > 1.12)
    gap = max(1, round(side / 900))
    for shift in range(1, gap + 1):
        for axis in (0, 1):
            mortar |= owner != np.roll(owner, shift, axis)
    face = colour[owner] * (1 + tilt[owner, 0] * along + tilt[owner, 1] * across + glint[owner])[..., None]
    # The cut edge catches the light above and to the left and loses it below.
    body = blur((~mortar).astype(np.float32), side / 1100)
    down, right = np.gradient(body)
    bevel = np.asarray(np.clip(2.2 * (down + right) * side / 1536, -0.45, 0.5))
    face = face * (1 + bevel)[..., None]
    grit = 1 + 0.05 * noise(rng, side, 260, octaves=1)[..., None]
    bed = np.array([0.17, 0.14, 0.13], np.float32) * (0.7 + 0.6 * body[..., None])
    picture = np.where(mortar[..., None], bed, face) * grit
    fold = picture.reshape(size_px, OVERSAMPLING, size_px, OVERSAMPLING, 3)
    return np.asarray(fold.mean(axis=(1, 3)), np.float32)
