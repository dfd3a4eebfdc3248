"""Devices, compiled programs, files, the cache; nothing here knows of networks."""
