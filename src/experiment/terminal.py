"""Output that every terminal can show."""

import codecs
import sys

# What a character is written as where the terminal's encoding does not have it.
SPELLINGS = {
    **{"≥": ">=", "≤": "<=", "−": "-", "·": "*", "×": "x", "±": "+-", "→": "->", "…": "...", "′": "'", "‖": "||"},
    **{"Σ": "sum", "δ": "delta", "σ": "sigma", "∂": "d", "ℓ": "l", "Δ": "Delta", "¹": "^1", "²": "^2", "³": "^3"},
    "°": " deg",
    **{chr(ord("₀") + digit): str(digit) for digit in range(10)},
    **{"ⱼ": "_j", "ₖ": "_k", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"'},
}


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(SPELLINGS.get(each, _escape(each)) for each in error.object[error.start : error.end]), error.end


def _escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")


def spell_out_unknown_characters() -> None:
    """Let both streams write a character that the terminal cannot show as words, instead of raising an error."""
    codecs.register_error("spell_out", _spell_out)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="spell_out")


def printable(text: str) -> str:
    """Return a text without control characters: one that is quoted from a file could command the terminal."""
    return "".join(each if each.isprintable() or each in "\n\t" else _escape_control(each) for each in text)


def _escape_control(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
