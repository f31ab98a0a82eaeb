#!/usr/bin/env python3
"""Reference values for src/data/resample.rs: OpenCV's and Pillow's bilinear resizing.

    python3 make_resample.py > resample.json      (needs numpy, opencv-python-headless, Pillow)

Cases: OpenCV on bytes (notMNIST of the released code) and on floats, rounded afterwards (CUB), Pillow on bytes where
images grow (MNIST and Fashion-MNIST).
"""
import json

import cv2
import numpy as np
from PIL import Image

rng = np.random.default_rng(1)
cases = []


def case(library, image, to, result):
    result = np.clip(np.rint(result), 0, 255).astype(np.uint8)
    cases.append({"library": library, "height": image.shape[0], "width": image.shape[1], "to": to,
                  "pixels": image.ravel().tolist(), "expected": result.ravel().tolist()})


for shape, to in [((28, 28), (32, 32)), ((50, 37), (22, 24)), ((9, 30), (22, 24)), ((5, 4), (5, 9))]:
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    size = (to[1], to[0])
    case("opencv bytes", image, to, cv2.resize(image, size))
    case("opencv floats", image, to, cv2.resize(image.astype(np.float32), size))
    if to[0] >= shape[0] and to[1] >= shape[1]:
        case("pillow", image, to, np.asarray(Image.fromarray(image).resize(size, Image.BILINEAR)))
print(json.dumps({"numpy": np.__version__, "opencv": cv2.__version__, "pillow": Image.__version__, "cases": cases}))
