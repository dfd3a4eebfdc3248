"""Certificates: how much more any image could make a network answer, proven."""

from .certificate import NORMS, OBJECTIVES, Certificate, verify
from .certify import certify

__all__ = ["NORMS", "OBJECTIVES", "Certificate", "certify", "verify"]
