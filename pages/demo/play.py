"""Play: you against the network, alone or with everybody in the room."""

import io

import numpy as np
import pandas as pd
import segno
import streamlit as st

from pages.common import models
from pages.common.game import game_board
from pages.common.messages import show_error
from resunet.charts import overlay
from resunet.errors import InputError
from resunet.game.room import Player, Room, Rooms
from resunet.game.scoring import checked_outline, filled, score

REFRESH_SECONDS = 2  # of the speaker's picture
TABLE = 12  # best players shown
WHITE = (255, 255, 255)


@st.cache_resource(show_spinner=False)
def open_rooms() -> Rooms:
    """The rooms of this server."""
    return Rooms()


def alone(rounds: int) -> Room:
    """This visitor's own room, which nobody else can enter."""
    return st.session_state.setdefault("game_alone", Room(rounds))


def play(room: Room, played: list[game_board.Round]) -> None:
    """The board, and at the end how everybody did."""
    key, player = room.join(st.query_params.get("player") or st.session_state.get("game_player"))
    st.session_state["game_player"] = key
    if "room" in st.query_params:
        st.query_params["player"] = key  # so that a reload goes on as the same player
    drawn = game_board.show(player, played)
    if drawn is not None and drawn.get("number") == len(player.scores) < room.rounds:
        outline, current = checked_outline(drawn.get("points")), played[len(player.scores)]
        dice = score(filled(outline, current.truth.shape), current.truth)
        room.submit(key, len(player.scores), outline, dice)
        st.rerun()
    if len(player.scores) == room.rounds:
        result(room, player, played)


def result(room: Room, player: Player, played: list[game_board.Round]) -> None:
    """The whole game in one sentence, and the room's table."""
    mine, network = np.mean(player.scores), np.mean([each.dice for each in played])
    st.subheader(f"You {mine:.2f}, the network {network:.2f}", anchor=False)
    if len(room.players) > 1:
        table(room)
    if st.button("Play again alone", icon=":material/replay:", key="play_again"):
        for name in ("game_alone", "game_player"):
            st.session_state.pop(name, None)
        st.query_params.clear()
        st.rerun()


def table(room: Room) -> None:
    """Nicknames, the best first."""
    rows = [
        {"Player": player.name, "Mean Dice": float(np.mean(player.scores)), "Rounds": len(player.scores)}
        for player in room.players
        if player.scores
    ]
    if rows:
        settings = {"Mean Dice": st.column_config.ProgressColumn(format="%.2f", min_value=0, max_value=1)}
        st.dataframe(pd.DataFrame(rows[:TABLE]), hide_index=True, column_config=settings, width="stretch")


@st.fragment(run_every=REFRESH_SECONDS)
def stage(room: Room, played: list[game_board.Round]) -> None:
    """What a speaker shows: the way in, everybody's outlines, the median player and the table."""
    invitation, cloud, board = st.columns([1, 2, 1.2], gap="medium")
    address = f"{st.context.url.partition('?')[0]}?room={room.code}"
    with invitation:
        code = io.BytesIO()
        segno.make(address).save(code, kind="png", scale=8, border=2)
        st.image(code.getvalue(), width="stretch", alt=f"QR code of {address}")
        st.markdown(f"### {room.code}")
        st.caption(f"{address} · {len(room.players)} here")
    with cloud:
        number = st.segmented_control(
            "Round", range(len(played)), default=0, required=True, format_func=lambda at: f"Slice {at + 1}", key="stage_round"
        )
        answers = st.toggle("Show truth and network", key="stage_answers")
        st.image(everybody(room, number, played[number], answers), width="stretch", alt="The outlines of everybody")
        median = room.median(number)
        sentence = "Nobody has drawn here yet." if median is None else f"Median player {median:.2f}"
        st.markdown(f"##### {sentence}" + (f", network {played[number].dice:.2f}" if answers else ""))
    with board:
        table(room)


def everybody(room: Room, number: int, played: game_board.Round, answers: bool) -> overlay.Picture:
    """The slice with the outlines of all players as a cloud; truth and network over it on demand."""
    shape = played.image.shape[:2]
    count = np.zeros(shape, np.float32)
    outlines = room.outlines(number)
    for outline in outlines:
        count += filled(outline, (shape[0], shape[1]))
    picture = overlay.heat_over(played.image, count / max(1, len(outlines)), 0.6)
    if answers:
        for mask, colour in ((played.truth, overlay.TRUTH), (played.network, overlay.PREDICTED)):
            picture = overlay.outline(picture, mask, colour)
    return picture


def open_room(rounds: int) -> None:
    """Open a room and lead whoever opened it to its stage."""
    try:
        room = open_rooms().open(rounds)
    except InputError as error:
        show_error(error)
        return
    st.query_params.update(room=room.code, host=room.host)
    st.rerun()


st.title("You against the network", anchor=False)
try:
    models.pipeline()
    slices = game_board.rounds(models.revision())
    if "room" in st.query_params:
        entered = open_rooms().find(st.query_params["room"])
        if st.query_params.get("host") == entered.host:
            stage(entered, slices)
        else:
            play(entered, slices)
    else:
        play(alone(len(slices)), slices)
        if st.button(
            "Play with the room", icon=":material/qr_code_2:", key="open_room", help="A QR code for everybody's phone"
        ):
            open_room(len(slices))
except InputError as error:
    show_error(error)
