"""Networks that make images: trained once per data set or network, then asked."""

from .autoencoder import Autoencoder as Autoencoder
from .autoencoder import CodeSpace as CodeSpace
from .autoencoder import Reconstruction as Reconstruction
from .autoencoder import reconstructed as reconstructed
from .autoencoder import reconstruction as reconstruction
from .fitting import fit as fit
from .fitting import shares as shares
