"""The published numbers of trainable parameters."""

# Fine-tuning HybridSN from Indian Pines to Urban: 15 components, window 25, 4 classes.
PUBLISHED = {
    "original": 4_844_148,
    "Network_1": 17_028,
    "Network_2": 516,
    "Network_3": 33_412,
    "Network_4": 4_768_644,
    "Network_5": 4_824_004,
    "Network_6": 55_876,
    "Network_7": 4_837_860,
}
