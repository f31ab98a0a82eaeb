#!/usr/bin/env python3
"""Draws the images of this example: four shapes, twelve each, in mixed sizes and formats (needs Pillow).

    python3 make_images.py        writes shapes/{circle,cross,square,triangle}/NN.{png,jpg,webp}
"""
import os
import random

from PIL import Image, ImageDraw

random.seed(1)
for shape in ["circle", "cross", "square", "triangle"]:
    os.makedirs(f"shapes/{shape}", exist_ok=True)
    for index in range(12):
        width, height = random.randint(20, 40), random.randint(20, 40)
        image = Image.new("RGB", (width, height), tuple(random.randint(150, 255) for _ in range(3)))
        draw, colour = ImageDraw.Draw(image), tuple(random.randint(0, 100) for _ in range(3))
        r = min(width, height) * random.uniform(0.25, 0.4)
        x, y = width / 2 + random.uniform(-3, 3), height / 2 + random.uniform(-3, 3)
        if shape == "circle":
            draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)
        elif shape == "cross":
            draw.line([x - r, y, x + r, y], fill=colour, width=4)
            draw.line([x, y - r, x, y + r], fill=colour, width=4)
        elif shape == "square":
            draw.rectangle([x - r, y - r, x + r, y + r], fill=colour)
        else:
            draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=colour)
        ending = ["png", "jpg", "webp"][index % 3]
        if index % 4 == 1:
            image = image.convert("L")
        image.save(f"shapes/{shape}/{index:02}.{ending}", **({"quality": 90} if ending == "jpg" else {}))
