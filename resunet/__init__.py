"""Two-stage brain-tumour segmentation: a ResNet-50 gate and a ResUNet trained with Tversky loss.

Importing the package loads nothing heavy and touches no file. Start with ``resunet.inference.pipeline.TumourPipeline``.
"""

__version__ = "1.0.0"
