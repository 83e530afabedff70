"""Published figures that the stand-ins are calibrated against: is an SVM as accurate on the made-up cube?"""

PUBLISHED_SVM = {
    "pavia_university": (62.17, 68.32, 73.60, 77.57, 78.51, 81.83),
    "salinas": (76.21, 80.63, 83.56, 84.84, 85.35, 87.33),
}
"""OA of an SVM on the real scenes at 5, 10, 15, 20, 25 and 30 random pixels per class, as printed in Liu and Shi,
"Multitask Deep Learning With Spectral Knowledge for Hyperspectral Image Classification", IEEE GRSL 17(12), 2020."""
