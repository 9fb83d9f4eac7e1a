"""Words after which a sentence goes on, by language: the last one said tells whether to wait."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> tuple[list[str], ...]:
    return tuple(phrase.split() for phrase in text.split(","))


NEVER_LAST = {
    "en": _words(
        "and or but because if while although unless until whether as a an the my your our their "
        "its of for with from at about into onto between during without against among towards via "
        "per than to i'm you're we're they're it's that's there's he's she's who's what's where's "
        "how's i'll you'll we'll i'd i've we've let's gonna wanna every very i we they he she is "
        "are was were am be been being has had have will would can could should shall may might "
        "must does how which"
    ),
    "de": _words(
        "und oder aber denn weil wenn dass ob obwohl während als der die das den dem des ein eine "
        "einen einem einer mein meine dein deine sein seine unser unsere kein keine im am zum zur "
        "vom ins mit von für bei nach über unter ohne gegen zwischen durch wegen sehr ich wir ist "
        "sind war hat habe haben wird werden würde kann könnte möchte muss soll will wie welche "
        "welcher"
    ),
    "fr": _words(
        "et ou mais car que qui si quand comme lorsque puisque parce le la les l un une des du de "
        "d au aux mon ma mes ton ta tes son sa ses notre votre leur ce cette ces à en dans sur "
        "sous avec sans pour par chez entre vers très je j'ai tu il nous c'est est sont était "
        "suis ont peux veux voudrais quel quelle quels"
    ),
    "es": _words(
        "y o pero porque si cuando que como aunque mientras el la los las un una unos unas del al "
        "de en con sin por para sobre entre hasta desde hacia mi tu su mis tus sus muy yo es son "
        "era está están estoy ha he puede quiero quisiera voy cuál qué"
    ),
    "it": _words(
        "e o ma perché se quando che come mentre il lo la i gli le un uno una del dello della dei "
        "delle al alla nel nella sul sulla dal dalla di a da in con su per tra fra senza mio mia "
        "tuo tua molto io è sono era ho ha hanno posso vorrei voglio quale"
    ),
    "pt": _words(
        "e ou mas porque se quando que como enquanto o a os as um uma uns umas do da dos das no "
        "na nos nas ao à de em com sem por para pelo pela sobre entre até desde meu minha seu sua "
        "muito eu é são era está estão estou tem tenho pode posso quero gostaria qual"
    ),
}
"""They end no statement."""

SELDOM_LAST = {
    "en": _words(
        "so that this these those some any another no his her in on by over under before after "
        "through around up out off down like do did what when where who whose just also then "
        "really maybe actually don't doesn't can't won't isn't"
    ),
    "de": _words(
        "so auch dann noch nur sich an auf aus zu in vor um was wer wo wann warum dieser diese "
        "dieses bin bist"
    ),
    "fr": _words("ça cela aussi alors plus pas où pourquoi comment"),
    "es": _words("esto eso también entonces más no lo se dónde cuándo"),
    "it": _words("questo quello anche allora più non dove"),
    "pt": _words("isto isso também então mais não onde"),
}
"""They end some: "turn it on", "I like that"."""

ASKING = _words(
    "what where who whose which how why when what's where's who's was wer wo wie wann warum welche "
    "quel quelle qui où comment qué quién dónde cuál cómo che chi dove quale qual quem onde que como"
)
QUESTION_ENDS = _words(
    "ist sind war bin est sont il es son está è sono é são of for with from at about to is are "
    "was were am be been i we they he she has had have will would can could should must"
)
"""Words of NEVER_LAST with which a sentence may end that has one of ASKING: "where are you from"."""

FILLERS = _words(
    "um umm uhm uh uhh er erm hmm hm äh ähm öh öhm euh heu eh ehm este pues cioè tipo あの えっと えーと 呃"
)
"""Sounds and words that hold the floor. "Mhm" is none: it means yes."""

OPEN_PHRASES = _phrases(
    "you know, i mean, let me see, let me think, let's see, such as, kind of, sort of, a lot of, a "
    "couple of, and then, and so, so that, want to know, would like, i'd like, in order, because "
    "of, instead of, for example, what about, how about, zum beispiel, und dann, das heißt, ich "
    "meine, mal sehen, was ist mit, par exemple, et puis, c'est à dire, parce que, est ce que, por "
    "ejemplo, y luego, o sea, es decir, per esempio, e poi, vale a dire, por exemplo, e depois, ou "
    "seja, quer dizer"
)

OPEN_ENDS = tuple(
    _words(
        "和 跟 在 把 给 被 因为 但是 可是 如果 虽然 所以 然后 还有 比如 那个 这个 就是 或者 关于 "
        "我想 は が を に で と も の へ けど けれど ので のに から たら えば とか あの えっと "
        "えーと それで そして でも"
    )
)
"""What Chinese and Japanese sentences do not end with: conjunctions and particles."""

ENDINGS = tuple(_words("吗 嗎 呢 吧 了 啦 です ます ました ません ください だよ だね かな ね よ か"))
"""What they do end with, mark or not."""


def language_of(said: list[str]) -> str:
    """The language that most of these words are in; English when they speak for none."""
    counts = {
        language: sum(word in NEVER_LAST[language] or word in SELDOM_LAST[language] for word in said)
        for language in NEVER_LAST
    }
    return max(counts, key=lambda language: counts[language])
