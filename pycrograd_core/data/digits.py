"""The 1,797 handwritten digits of 8 × 8 pixels that scikit-learn carries: small, and needs no download."""

from __future__ import annotations

from .dataset import Dataset


def digits() -> Dataset:
    """Images in [0, 1] (1797 × 64, rows of pixels from the top) with labels 0 … 9.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (its test part).
    """
    import numpy as np
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    features = pixels.astype(np.float32, order="C")
    features /= np.float32(16)
    return Dataset("digits", features, labels.astype(np.int32), classes=10)
