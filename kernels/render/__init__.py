"""From pictures to voxels and back: frustum cells pooled into a voxel field, and rays marched through one.

All points are in voxel units: voxel (z, y, x) is the cube from (x, y, z) to (x + 1, y + 1, z + 1), its centre at + 1/2.
A field is [B, Z, Y, X, 1 + C], density per voxel length first, channels last.
"""

from kernels.render.lift import lift
from kernels.render.march import march

__all__ = ["lift", "march"]
