"""Rooms in which people play together. Everything is in memory, limited, and gone when a room ends."""

from __future__ import annotations

import secrets
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from resunet.errors import InputError
from resunet.game.scoring import Outline

COLOURS = ("Amber", "Azure", "Coral", "Crimson", "Golden", "Indigo", "Ivory", "Jade", "Lilac", "Olive", "Ruby", "Teal")
ANIMALS = ("Badger", "Crane", "Dolphin", "Falcon", "Gecko", "Heron", "Ibex", "Lynx", "Marten", "Otter", "Panda", "Wren")
NAMES = [f"{colour} {animal}" for colour in COLOURS for animal in ANIMALS]  # so nobody types one
LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # none that look alike
MOST_ROOMS, MOST_PLAYERS, SECONDS = 20, 120, 45 * 60


@dataclass
class Player:
    """A nickname, and what was drawn in each round, with its Dice."""

    name: str
    outlines: list[Outline] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


class Room:
    """Players of the same slices. Whoever holds a player's key, and nobody else, plays for that player.

    Attributes:
        code: what the address names; `host` is the key of whoever opened it.
        ends: time.monotonic() at which the room closes.
    """

    def __init__(self, rounds: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.code = "".join(secrets.choice(LETTERS) for _ in range(5))
        self.host = secrets.token_urlsafe(9)
        self.rounds, self.ends = rounds, clock() + SECONDS
        self._players: dict[str, Player] = {}
        self._lock = threading.Lock()

    def join(self, key: str | None) -> tuple[str, Player]:
        """The player of a key; a new one with a key of its own where the room knows none. Raises InputError when it is full."""
        with self._lock:
            if key is not None and key in self._players:
                return key, self._players[key]
            taken = {player.name for player in self._players.values()}
            free = [name for name in NAMES if name not in taken]
            if len(self._players) >= MOST_PLAYERS or not free:
                raise InputError(f"This room is full: {len(self._players)} people play. Play alone, or wait for the next room.")
            key, player = secrets.token_urlsafe(9), Player(secrets.choice(free))
            self._players[key] = player
            return key, player

    def submit(self, key: str, number: int, outline: Outline, dice: float) -> None:
        """Keep what a player drew in a round; only the next round's first outline counts."""
        with self._lock:
            player = self._players.get(key)
            if player is not None and number == len(player.scores) < self.rounds:
                player.outlines.append(outline)
                player.scores.append(dice)

    @property
    def players(self) -> list[Player]:
        """Everybody, the best first: who played more rounds, then by the sum of their scores."""
        with self._lock:
            return sorted(self._players.values(), key=lambda player: (-len(player.scores), -sum(player.scores)))

    def outlines(self, number: int) -> list[Outline]:
        """What everybody drew in a round."""
        return [player.outlines[number] for player in self.players if len(player.outlines) > number]

    def median(self, number: int) -> float | None:
        """The median player's Dice in a round; None before anybody played it."""
        scores = [player.scores[number] for player in self.players if len(player.scores) > number]
        return statistics.median(scores) if scores else None


class Rooms:
    """The open rooms of a server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rooms: dict[str, Room] = {}
        self._lock = threading.Lock()

    def open(self, rounds: int) -> Room:
        """A new room. Raises InputError while too many are open."""
        with self._lock:
            self._rooms = {code: room for code, room in self._rooms.items() if room.ends > self._clock()}
            if len(self._rooms) >= MOST_ROOMS:
                raise InputError(f"{MOST_ROOMS} rooms are open, which is the most; the oldest closes within the hour.")
            room = Room(rounds, self._clock)
            self._rooms[room.code] = room
            return room

    def find(self, code: str) -> Room:
        """The room of a code. Raises InputError where there is none, or it has ended."""
        room = self._rooms.get(code.strip().upper())
        if room is None or room.ends <= self._clock():
            raise InputError("This room is not open: it has ended, or its code is another. Ask for a new one, or play alone.")
        return room
