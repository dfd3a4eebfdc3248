"""The page of a run: one HTML file, from the files of its folder alone."""

from .page import write_page as write_page
