"""Going back in time: what a machine was is remembered now and then, and everything between is run again."""

from rvhv.snapshot.history import Bookmark, Event, History, Moment
from rvhv.snapshot.world import Why

__all__ = ["Bookmark", "Event", "History", "Moment", "Why"]
