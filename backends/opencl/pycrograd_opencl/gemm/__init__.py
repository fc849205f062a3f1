"""Matrix products: one generator of kernels (`generate`, `eager_product`), and the parameters that suit a device."""

from .choice import choose, fitted
from .generator import eager_product, generate
from .panels import Panels
from .product import Launch, Product
from .tiles import Tiles

Parameters = Panels | Tiles

__all__ = ["Launch", "Panels", "Parameters", "Product", "Tiles", "choose", "eager_product", "fitted", "generate"]
