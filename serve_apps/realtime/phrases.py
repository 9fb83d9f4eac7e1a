"""Words as the ears compare them, and the short ones that say nothing, or say stop, in eight languages."""

# ruff: noqa: RUF001 (marks and words of several scripts are what this module is about)

from __future__ import annotations

import re
from unicodedata import normalize

_NO_SPACES = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Kana and Han, written without spaces: each character counts as a word."""
_WORD = re.compile(rf"[{_NO_SPACES}]|[^\W_{_NO_SPACES}]+(?:['’][^\W_{_NO_SPACES}]+)*")
_HUM = re.compile(
    r"m+|h*m+h+m*|m+h*m+|h+m+|u+h+|a+h+|o+h+|e+h+|u+m+|e+r+m*|ä+h*m*|e+uh+|(?:ha)+h?|(?:he){2,}"
)
"""Sounds between words: mm, mhm, hmm, uh, um, ah, oh, eh, er, erm, äh, ähm, euh, haha."""


def words(text: str) -> list[str]:
    """What was said, to compare: lower case, no marks, each Chinese or Japanese character a word."""
    return _WORD.findall(normalize("NFKC", text).replace("’", "'").casefold())


def _phrases(text: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words(phrase)) for phrase in text.split(","))


BACKCHANNELS = _phrases(
    "uh huh, mm hmm, huh, yeah, yep, yup, yes, ok, okay, o k, k, right, all right, alright, sure, "
    "i see, i know, true, cool, nice, great, good, fine, wow, really, oh really, aha, got it, gotcha, "
    "exactly, indeed, of course, well, interesting, makes sense, that's right, that's true, thanks, "
    "thank you, thank you very much, you, ja, jo, jawohl, genau, gut, klar, stimmt, ach so, ach, "
    "na ja, echt, richtig, verstehe, danke, schön, oui, ouais, d'accord, voilà, bien, très bien, bon, "
    "c'est ça, je vois, exact, ah bon, merci, ben, sí, si, vale, claro, ya, bueno, exacto, de acuerdo, "
    "entiendo, gracias, ajá, sì, certo, va bene, bene, esatto, giusto, capisco, già, ecco, grazie, "
    "sim, tá, tá bom, pois, pois é, isso, entendi, beleza, obrigado, obrigada, né, é, да, ага, угу, "
    "понятно, хорошо, ладно, так, ясно, 嗯, 嗯嗯, 对, 對, 是, 是的, 好, 好的, 哦, 噢, 啊, 没错, 不错, 明白, "
    "知道了, 行, 这样, 谢谢, はい, うん, ええ, へえ, ああ, あー, そう, そうですね, そうですか, そうか, "
    "そっか, なるほど, ほんと, ね, ふうん"
)
"""What listeners say to mean: go on."""

EMPTY = _phrases(
    "so, and, the, a, then, them, but, or, like, i, m, amen, und, also, et, alors, y, e, allora, "
    "então, え, あの, 那, 呃"
)
"""What is left of a hum or of a sentence's first sound in a transcript: alone, they ask for nothing."""

COMMANDS = _phrases(
    "stop, wait, no, hey, hold on, hang on, enough, quiet, shut up, pause, cancel, never mind, "
    "nevermind, skip, next, stopp, halt, warte, warten sie, moment, nein, genug, ruhe, still, schluss, "
    "arrête, arrêtez, attends, attendez, non, assez, silence, para, espera, espere, alto, basta, "
    "silencio, cállate, un momento, ferma, fermati, aspetta, aspetti, zitto, silenzio, pare, pára, "
    "não, chega, silêncio, стоп, стой, подожди, нет, хватит, 停, 停下, 等等, 等一下, 不是, 不对, "
    "别说了, 待って, ちょっと待って, 止めて, やめて, ストップ, 違う, いいえ"
)
"""What stops a speaker, even as the only word."""

OPENERS = _phrases(
    "what, what's, how, how's, why, when, when's, where, where's, who, who's, which, whose, can you, "
    "could you, can i, could i, would you, will you, do you, does it, did you, is it, is there, "
    "are there, are you, tell me, tell us, give me, show me, explain, excuse, excuse me, sorry, "
    "actually, please, let me, let's, i want, i need, i would, i'd, i meant, i mean, "
    "i have a question, repeat, say that again, go back, one question, was, wie, warum, wieso, wann, "
    "wo, wer, welche, welcher, welches, kannst du, können sie, entschuldigung, bitte, sag mir, "
    "comment, pourquoi, quand, où, qui, quel, quelle, est-ce, peux-tu, pouvez-vous, excuse-moi, "
    "excusez-moi, qué, cómo, por qué, cuándo, dónde, quién, cuál, cuánto, puedes, perdona, disculpa, "
    "dime, cosa, perché, quando, dove, chi, quale, quanto, puoi, scusa, scusi, dimmi, como, porque, "
    "onde, quem, qual, pode, desculpa, desculpe, diga, 什么, 怎么, 为什么, 哪里, 谁, 请问, 你能, 何, "
    "どう, なぜ, どこ, いつ, だれ, すみません"
)
"""How questions and requests begin: clear after a word or two, when most other words are still guesses."""

_LONGEST = max(len(phrase) for phrases in (BACKCHANNELS, EMPTY, COMMANDS, OPENERS) for phrase in phrases)


def consists_of(said: list[str], *phrases: frozenset[tuple[str, ...]]) -> bool:
    """Whether it is nothing but these phrases, hums and repetitions: "yeah, yeah", "uh-huh okay"."""
    known = frozenset[tuple[str, ...]]().union(*phrases)
    reachable = [True] + [False] * len(said)
    for end in range(1, len(said) + 1):
        starts = range(max(0, end - _LONGEST), end)
        is_hum = reachable[end - 1] and _HUM.fullmatch(said[end - 1]) is not None
        reachable[end] = is_hum or any(reachable[i] and tuple(said[i:end]) in known for i in starts)
    return reachable[-1]


def contains(said: list[str], phrases: frozenset[tuple[str, ...]]) -> bool:
    """Whether one of these phrases was said, anywhere."""
    spans = ((i, j) for i in range(len(said)) for j in range(i + 1, min(i + _LONGEST, len(said)) + 1))
    return any(tuple(said[i:j]) in phrases for i, j in spans)


def begins_with(said: list[str], phrases: frozenset[tuple[str, ...]]) -> bool:
    """Whether it begins with one of these phrases, after hums and words that say nothing."""
    start = 0
    while start < len(said) and (_HUM.fullmatch(said[start]) or (said[start],) in EMPTY | BACKCHANNELS):
        start += 1
    starts = (0, start)
    return any(tuple(said[i : i + n]) in phrases for i in starts for n in range(1, _LONGEST + 1))


def in_order_within(said: list[str], spoken: list[str], *, share: float) -> bool:
    """Whether at least this share of the words occurs in `spoken`, in order and close together.

    A few may be misheard or left out on either side: they must lie within twice as many words.
    """
    wanted = share * len(said)
    reach = 2 * len(said)
    starts = (i for i, word in enumerate(spoken) if any(_alike(word, heard) for heard in said))
    return bool(said) and any(_common(said, spoken[i : i + reach]) >= wanted for i in starts)


def _common(one: list[str], other: list[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for a in one:
        previous = row[:]
        for j, b in enumerate(other):
            row[j + 1] = previous[j] + 1 if _alike(a, b) else max(previous[j + 1], row[j])
    return row[-1]


def _alike(one: str, other: str) -> bool:
    """Equal, or longer words with the same beginning or end, as in "open" and "opens", or one cut off."""
    if one == other:
        return True
    if min(len(one), len(other)) < 3:  # noqa: PLR2004 (letters: "is" and "it" are not alike)
        return False
    return one[:4] == other[:4] or one[-4:] == other[-4:] or one.startswith(other) or other.startswith(one)
