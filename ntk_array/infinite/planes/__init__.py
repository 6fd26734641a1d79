"""Convolutional networks on images, plane by plane: each pair of images goes through all layers in the cache.

A stride-1 convolution acts along lines of constant offset q - p between positions p of one image and q of another. So
the pairs of positions with one offset, a plane, go through all layers by themselves until positions are mixed. Offsets
(dy, dx) and (dy - height, dx - width) share one torus of exactly height x width pairs.

Where a network goes to another grid of positions, by a stride, a window without padding or pooling, each plane is added
to the planes of that grid that it belongs to, and these go on. In the end comes a mean over positions.
"""

from .cuda import CudaPlanes
from .layout import Layout, layout_of
from .run import Planes
from .sides import Batch

__all__ = ["Batch", "CudaPlanes", "Layout", "Planes", "layout_of"]
