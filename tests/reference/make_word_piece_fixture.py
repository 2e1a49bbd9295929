#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/text/word_piece.json from Hugging Face's tokenizers, as transformers 5 makes a BertTokenizer of it.

    python3 -m venv venv && venv/bin/pip install --no-deps tokenizers==0.23.3
    venv/bin/python tests/reference/make_word_piece_fixture.py [<vocab.txt of bert-base-uncased or MiniLM>]

Without that file the digests of what the real vocabulary gives, of a hundred texts each, are left as they are.
"""
import json
import random
import sys
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "text" / "word_piece.json"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# lower case, strip accents (None: as lower case), Chinese characters on their own
MODES = [(True, None, True), (False, None, True), (True, False, True), (False, True, True), (True, None, False)]
WORDS = """the a of and not film music weather network freezing thaw layer learning unfreezing gradual transformer café
naïve façade über Straße señor coöperate Ångström İstanbul ΟΔΟΣ Москва йод שלום مُحَمَّد हिन्दी ไทย 한국어 日本語 東京 漢字 ﬁne
e\u0301 a\u0327\u0301b I\u0307 ǅ ẞ Ⅳ ½ 1\u20443 x\u2028y a\u00a0b ｆｕｌｌ 👨‍👩‍👧 🇩🇪 ☃\ufe0f don't U.S.A. $5.00 a_b ##ing # ...
tab\there zero\u200bwidth soft\u00adhyphen bell\u0007 nul\u0000 \ufffd \ue000 \u0085""".split(" ")
RANGES = [(0x20, 0x7E)] * 6 + [(0xA0, 0x17F)] * 3 + [(0x300, 0x36F)] * 3 + [
    (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF),
    (0x1AB0, 0x1AFF), (0x1C80, 0x1CFF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x20FF), (0x2100, 0x214F),
    (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFDFF), (0xFE00, 0xFFFF),
    (0x1F300, 0x1FAFF), (0x0, 0x1F), (0x7F, 0x9F), (0x11900, 0x1193F), (0x1D100, 0x1D1FF), (0xE0000, 0xE01EF),
    (0x20000, 0x2CEAF), (0x0, 0xD7FF), (0xE000, 0x10FFFF)]
BLOCK = 4096
chance = random.Random(1)


def normalizer(mode):
    lower, strip, chinese = mode
    return normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=chinese, strip_accents=strip, lowercase=lower)


def words_of(text, mode):
    normal = normalizer(mode).normalize_str(text)
    return [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normal)]


def make_tokenizer(vocabulary, mode):
    tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer(mode)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary.index(name)) for name in ("[CLS]", "[SEP]")])
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def odd_text():
    parts = []
    for _ in range(chance.randint(0, 9)):
        kind = chance.random()
        if kind < 0.5:
            word = chance.choice(WORDS)
            parts.append(chance.choice([word, word, word.upper(), word.capitalize() + chance.choice(WORDS)]))
        elif kind < 0.55:
            parts.append(chance.choice(SPECIAL + ["[sep]", "[[SEP]]", "[SE", "[CLS][SEP]", "a[MASK]b"]))
        elif kind < 0.57:
            parts.append("".join(chance.choice("abé") for _ in range(chance.choice([99, 100, 101]))))
        else:
            parts.append("".join(chr(chance.randint(*chance.choice(RANGES))) for _ in range(chance.randint(1, 6))))
        parts.append(chance.choice([" ", " ", "", "\t", "\n"]))
    return "".join(parts)


def small_vocabulary(texts):
    """Most of what occurs can be cut into its pieces, but not all."""
    characters, begins, ends = Counter(), Counter(), Counter()
    for text in texts:
        for mode in MODES:
            for word in words_of(text, mode):
                characters.update(word)
                begins.update(word[:n] for n in (2, 3, 4) if len(word) >= n)
                ends.update("##" + word[-n:] for n in (2, 3) if len(word) > n)
    common = [c for c, _ in characters.most_common(260)]
    return (SPECIAL[:1] + ["[unused0]", "", "##"] + SPECIAL[1:] + common + ["##" + c for c in common[:200]]
            + [w for w, _ in begins.most_common(90)] + [w for w, _ in ends.most_common(90)])


def fnv(text):
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def every_character():
    """Digests of what becomes of "A<c>b" for each c, by blocks. Of letters that Python's Unicode (14 in Python 3.11)
    does not know yet, but tokenizers can make small, an older ICU cannot know that: they are left out, and listed."""
    lower, new, blocks = normalizers.Lowercase(), [], []
    for begin in range(0, 0x110000, BLOCK):
        all_words = []
        for c in range(begin, begin + BLOCK):
            if 0xD800 <= c < 0xE000:
                continue
            if lower.normalize_str(chr(c)) != chr(c).lower():
                new.append(c)
                continue
            all_words += words_of("A" + chr(c) + "b", MODES[0])
        blocks.append(fnv("\n".join(all_words)))
    return dict(block=BLOCK, new_letters=new, digests=blocks)


def main():
    texts = [odd_text() for _ in range(1200)]
    vocabulary = small_vocabulary(texts)
    tokenizers = [make_tokenizer(vocabulary, mode) for mode in MODES]
    singles, pairs = [], []
    for i, text in enumerate(texts):
        mode = i // 2 % len(MODES) if i % 2 else 0
        singles.append([mode, text, tokenizers[mode].encode(text).ids])
    for i in range(300):
        first, second, most = chance.choice(texts), chance.choice(texts), chance.randint(3, 40)
        tokenizer = tokenizers[0]
        tokenizer.enable_truncation(most)
        pair, cut = tokenizer.encode(first, second), tokenizer.encode(first)
        tokenizer.no_truncation()
        pairs.append([texts.index(first), texts.index(second), most, pair.ids, pair.type_ids, cut.ids,
                      tokenizer.decode(pair.ids, skip_special_tokens=i % 2 == 1)])

    if len(sys.argv) > 1:
        real = make_tokenizer(Path(sys.argv[1]).read_text(encoding="utf-8").split("\n")[:-1], MODES[0])
        ids = [" ".join(map(str, real.encode(text).ids)) for text in texts]
        digests = [fnv("\n".join(ids[i:i + 100])) for i in range(0, len(ids), 100)]
    else:
        digests = json.loads(OUT.read_text())["real"]
    parts = dict(vocabulary=vocabulary, characters=every_character(), texts=singles, pairs=pairs, real=digests)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(parts, separators=(",", ":"))
    OUT.write_text(text.replace("],[", "],\n[").replace('],"', '],\n"') + "\n")


main()
