"""Ready-made materials, each with its source; others are made with the classes of :mod:`physics.fdfd.dispersion`."""

from __future__ import annotations

import math

from physics.fdfd.dispersion import Constant, Material, Sellmeier, Table

__all__ = [
    "AIR", "Constant", "GOLD", "Material", "SILICA", "SILICON", "SILICON_ABSORBING", "SILICON_NITRIDE", "SILVER",
    "Sellmeier", "TITANIA", "Table",
]  # fmt: skip

# As vacuum; n - 1 = 2.7e-4 is left out.
AIR = Constant(1.0)

# I. H. Malitson, J. Opt. Soc. Am. 55, 1205 (1965), fused silica at 20 C. dn/dT at 1.55 um and 293 K: 8.16e-6 (Corning
# 7980), G. Rego, Sensors 23, 6023 (2023).
SILICA = Sellmeier(
    strength=(0.6961663, 0.4079426, 0.8974794),
    resonance_um=(0.0684043, 0.1162414, 9.896161),
    range_um=(0.21, 3.71),
    dn_dt=8.16e-6,
)

# C. D. Salzberg and J. J. Villa, J. Opt. Soc. Am. 47, 244 (1957), 26 C; fit by B. Tatian, Appl. Opt. 23, 4477 (1984).
# dn/dT from 293 to 350 K at 1.55 um, 3.4757 to 3.4865: H. H. Li, J. Phys. Chem. Ref. Data 9, 561 (1980).
SILICON = Sellmeier(
    strength=(10.6684293, 0.0030434748, 1.54133408),
    resonance_um=(0.301516485, 1.13475115, 1104.0),
    range_um=(1.357, 11.04),
    dn_dt=1.89e-4,
    reference_k=299.15,
)

# K. Luke et al., Opt. Lett. 40, 4823 (2015), LPCVD Si3N4. dn/dT: A. Arbabi and L. L. Goddard, Opt. Lett. 38, 3878
# (2013).
SILICON_NITRIDE = Sellmeier(
    strength=(3.0249, 40314.0), resonance_um=(0.1353406, 1239.842), range_um=(0.31, 5.504), dn_dt=2.45e-5
)

# J. R. Devore, J. Opt. Soc. Am. 41, 416 (1951), rutile, ordinary ray: n^2 = 5.913 + 0.2441 / (L^2 - 0.0803).
TITANIA = Sellmeier(
    strength=(0.2441 / 0.0803,),
    resonance_um=(math.sqrt(0.0803),),
    range_um=(0.43, 1.53),
    constant=5.913 - 0.2441 / 0.0803,
)

# fmt: off
# M. A. Green, Sol. Energ. Mat. Sol. Cells 92, 1305 (2008), table at 300 K, thinned out.
SILICON_ABSORBING = Table(
    wavelength_um=(
        0.3, 0.31, 0.32, 0.33, 0.34, 0.35, 0.36, 0.37, 0.38, 0.39, 0.4, 0.41, 0.42, 0.43, 0.44,
        0.45, 0.46, 0.48, 0.5, 0.52, 0.54, 0.56, 0.58, 0.6, 0.63, 0.66, 0.7, 0.75, 0.8, 0.85, 0.9,
        0.95, 1.0, 1.02, 1.04, 1.06, 1.08, 1.1, 1.12, 1.14, 1.16, 1.18, 1.2,
    ),
    index=(
        4.976, 5.121, 5.112, 5.195, 5.301, 5.494, 6.026, 6.891, 6.616, 6.039, 5.613, 5.33, 5.119,
        4.949, 4.812, 4.691, 4.587, 4.419, 4.294, 4.193, 4.112, 4.045, 3.988, 3.94, 3.879, 3.828,
        3.772, 3.717, 3.675, 3.641, 3.614, 3.591, 3.572, 3.565, 3.559, 3.553, 3.547, 3.542, 3.537,
        3.532, 3.528, 3.524, 3.52,
    ),
    extinction=(
        4.234, 3.598, 3.303, 3.1, 2.977, 2.938, 2.966, 2.171, 0.946, 0.445, 0.296, 0.227, 0.176,
        0.138, 0.107, 0.086302, 0.071381, 0.055004, 0.044165, 0.036415, 0.030295, 0.025758,
        0.022524, 0.019934, 0.016444, 0.013498, 0.010528, 0.0078185, 0.0054113, 0.003612, 0.0021701,
        0.0011793, 0.0005093, 0.00032386, 0.00018704, 9.3631e-05, 5.3285e-05, 3.0637e-05,
        1.7825e-05, 9.0718e-06, 3.877e-06, 6.1036e-07, 2.1008e-07,
    ),
    reference_k=300.0,
)

# P. B. Johnson and R. W. Christy, Phys. Rev. B 6, 4370 (1972), table I.
_JOHNSON_CHRISTY_UM = (
    0.4133, 0.4305, 0.4509, 0.4714, 0.4959, 0.5209, 0.5486, 0.5821, 0.6168, 0.6595, 0.7045,
    0.756, 0.8211, 0.892, 0.984, 1.088, 1.216, 1.393, 1.61, 1.937,
)
GOLD = Table(
    _JOHNSON_CHRISTY_UM,
    index=(
        1.46, 1.45, 1.38, 1.31, 1.04, 0.62, 0.43, 0.29, 0.21, 0.14, 0.13, 0.14, 0.16, 0.17, 0.22,
        0.27, 0.35, 0.43, 0.56, 0.92,
    ),
    extinction=(
        1.958, 1.948, 1.914, 1.849, 1.833, 2.081, 2.455, 2.863, 3.272, 3.697, 4.103, 4.542, 5.083,
        5.663, 6.35, 7.15, 8.145, 9.519, 11.21, 13.78,
    ),
)
SILVER = Table(
    _JOHNSON_CHRISTY_UM,
    index=(
        0.05, 0.04, 0.04, 0.05, 0.05, 0.05, 0.06, 0.05, 0.06, 0.05, 0.04, 0.03, 0.04, 0.04, 0.04,
        0.04, 0.09, 0.13, 0.15, 0.24,
    ),
    extinction=(
        2.275, 2.462, 2.657, 2.869, 3.093, 3.324, 3.586, 3.858, 4.152, 4.483, 4.838, 5.242, 5.727,
        6.312, 6.992, 7.795, 8.828, 10.1, 11.85, 14.08,
    ),
)
# fmt: on
