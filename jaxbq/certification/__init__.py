"""Certificates: how much more any image could make a network answer, proven."""

from .certificate import NORMS as NORMS
from .certificate import OBJECTIVES as OBJECTIVES
from .certificate import Certificate as Certificate
from .certificate import check_network as check_network
from .certificate import verify as verify
from .certify import certify as certify
from .relaxed import check_relaxed as check_relaxed
from .relaxed import relaxed_images as relaxed_images
