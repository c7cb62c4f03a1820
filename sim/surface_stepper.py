"""Noisy devices of any model: tabulated rates and random walks, the compiled kernel and its bit-identical NumPy twin.

Rates, geometry and window bounds are single precision, the concentration double. The twin exists to be read and to
test the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.kernel._jart_kernel import ffi, lib
from sim.kernel_call import Pointers, new_advance
from sim.noise import NoisePreset
from sim.population import Advance, Population, Trace
from sim.rate_surface import CELL_BITS, RateSurface, cell_of
from sim.units import Floats, Ints
from sim.walks import Singles, Walks


@dataclass(frozen=True)
class SurfaceStepper:
    """Steps devices at one voltage under a noise preset; `seed` is the only source of randomness."""

    surface: RateSurface
    noise: NoisePreset
    seed: int

    @property
    def grows(self) -> bool:
        """True where N grows (SET)."""
        return self.surface.direction > 0.0

    @property
    def walks(self) -> Walks:
        """What walks while the devices step."""
        return Walks(self.noise, self.seed, self.surface.r0_m, self.surface.l0_m)

    def run(
        self, devices: Population, n_steps: Ints, n_stop_1e26: Floats | None, trace: Trace | None
    ) -> Advance:
        """Advance `devices` in place with the compiled kernel."""
        pointer = Pointers()
        t = self.surface
        c_surface = ffi.new(
            "rate_surface *",
            dict(
                rows=pointer("float[]", t.rows.reshape(-1)),
                first_cell=t.first_cell,
                r_blocks=t.r.count,
                l_blocks=t.l.count,
                r_low=t.r.low,
                r_blocks_per=t.r.per_ratio,
                l_low=t.l.low,
                l_blocks_per=t.l.per_ratio,
                direction=t.direction,
            ),
        )
        steps = [walk.step for walk in self.noise.walks]
        c_noise = ffi.new("walk_noise *", [self.seed, self.walks.cadence_steps, steps])
        walking, lowest, highest = self.walks.of(devices)
        moves = np.ascontiguousarray(devices.moves.T, dtype=np.float32) if self.noise.moves_geometry else None
        c_devices = ffi.new(
            "walk_devices *",
            dict(
                n=pointer("double[]", devices.n_1e26),
                walking=pointer("float[]", walking.reshape(-1)),
                lowest=pointer("float[]", lowest.reshape(-1)),
                highest=pointer("float[]", highest.reshape(-1)),
                moves=pointer("float[]", None if moves is None else moves.reshape(-1)),
                step=pointer("int64_t[]", devices.step),
                device=pointer("uint32_t[]", devices.device),
            ),
        )
        done = new_advance(devices)
        lib.walk_run(
            c_surface,
            c_noise,
            c_devices,
            *pointer.run_arguments(devices, n_steps, n_stop_1e26, done, trace),
        )
        self.walks.keep(devices, walking, done.steps)
        return done

    def run_in_numpy(
        self, devices: Population, n_steps: Ints, n_stop_1e26: Floats | None, trace: Trace | None
    ) -> Advance:
        """The kernel's twin: same arguments, same bits, some hundred times slower."""
        done = new_advance(devices)
        walking, lowest, highest = self.walks.of(devices)
        moves = devices.moves.T.astype(np.float32)
        active = np.flatnonzero(n_steps > 0)
        while active.size:
            n = devices.n_1e26[active]
            done.n_before_1e26[active] = n
            x = walking[:, active]
            n = n + self._change(n.astype(np.float32), x, moves[:, active]).astype(np.float64)
            devices.step[active] += 1
            x = self.walks.after_step(
                devices.device[active], devices.step[active], x, lowest[:, active], highest[:, active]
            )
            low, high = x[2:].astype(np.float64)
            n = np.where(n < low, low, n)
            n = np.where(n > high, high, n)
            devices.n_1e26[active] = n
            walking[:, active] = x
            if trace is not None:
                trace.n_1e26[trace.offset[active] + done.steps[active]] = n
            done.steps[active] += 1
            running = done.steps[active] < n_steps[active]
            if n_stop_1e26 is not None:
                running &= (n < n_stop_1e26[active]) if self.grows else (n > n_stop_1e26[active])
            active = active[running]
        self.walks.keep(devices, walking, done.steps)
        return done

    def _change(self, n: Singles, walking: Singles, m: Singles) -> Singles:
        """dN of one step."""
        t = self.surface
        one, two = np.float32(1.0), np.float32(2.0)
        r, l = walking[:2]
        if self.noise.moves_geometry:
            r, l = r * (m[0] + m[1] * n), l * (m[2] + m[3] * n)
        r_place = (r - np.float32(t.r.low)) * np.float32(t.r.per_ratio)
        l_place = (l - np.float32(t.l.low)) * np.float32(t.l.per_ratio)
        r_block = np.zeros(len(n), np.int32) if t.r.count * t.l.count == 1 else r_place.astype(np.int32)
        l_block = np.zeros(len(n), np.int32) if t.r.count * t.l.count == 1 else l_place.astype(np.int32)
        a = two * (r_place - r_block.astype(np.float32)) - one
        b = two * (l_place - l_block.astype(np.float32)) - one
        mantissa = (n.view(np.uint32) << np.uint32(CELL_BITS)) & np.uint32(0x007FFFFF)
        x = two * (mantissa | np.uint32(0x3F800000)).view(np.float32) - np.float32(3.0)
        c = t.rows[cell_of(n) - t.first_cell, r_block, l_block].T
        l0 = (((c[0] * a + c[1]) * a + c[2]) * a + c[3]) * a + c[4]
        l1 = (((c[5] * a + c[6]) * a + c[7]) * a + c[8]) * a + c[9]
        l2 = (c[10] * a + c[11]) * a + c[12]
        l3 = c[13] * a + c[14]
        x1 = (c[15] * a + c[16]) * a + c[17] + ((c[18] * b + c[19]) + c[20] * a) * b
        y = l0 + ((l3 * b + l2) * b + l1) * b + (c[21] * x + x1) * x
        return np.float32(t.direction) * _exp2(np.where(y < np.float32(-126.0), np.float32(-126.0), y))


def _exp2(y: Singles) -> Singles:
    """2^y as `exp2_of` in sim/kernel/lane_math.h."""
    shift = np.float32(12582912.0)
    shifted = y + shift
    f = y - (shifted - shift)
    p = np.full_like(f, 1.32647261e-3)
    for c in (9.67151299e-3, 5.55073358e-2, 2.40222424e-1, 6.93147004e-1, 1.0):
        p = p * f + np.float32(c)
    return np.asarray(p * ((shifted.view(np.uint32) + np.uint32(127)) << np.uint32(23)).view(np.float32))
