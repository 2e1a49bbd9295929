#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace example {

/// A language that nobody has to download, and of which the right answers are known.
///
/// Each of its 480 words is about one of 8 topics: 40 nouns and 20 verbs for each. A text has a topic; six in ten of its
/// words are about it, the others about anything. Nothing in a word's letters tells its topic: it can only be learnt
/// from the company that the word keeps, or from being told. It reads so:
///
///     Lo numaki tibego lo sadorun, e lo gavelun mirazo lo numaki.
///
/// "lo" is the, "e" and, "ma" but; an n at the end of a noun is its plural.
class MadeUpLanguage {
 public:
  using Random = std::mt19937_64;
  static constexpr std::size_t topics = 8, nouns = 40, verbs = 20;

  explicit MadeUpLanguage(std::uint64_t seed) {
    Random random(seed);
    const std::string consonants = "bdfgklmnprstvz", vowels = "aeiou";
    while (words_.size() < topics * (nouns + verbs)) {
      std::string word;
      for (int syllable = 0; syllable < 3; ++syllable) {
        word += consonants[random() % consonants.size()];
        word += vowels[random() % vowels.size()];
      }
      if (topic_of_.emplace(word, words_.size() / (nouns + verbs)).second) words_.push_back(word);
    }
  }

  /// What a tokenizer has to know: its vocab.txt.
  [[nodiscard]] std::vector<std::string> vocabulary() const {
    std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "lo", "e", "ma", "##n"};
    tokens.insert(tokens.end(), words_.begin(), words_.end());
    return tokens;
  }

  /// A new text of two to four clauses about a topic.
  [[nodiscard]] std::string write(std::size_t topic, Random& random) const {
    std::string text = "Lo ";
    const std::size_t clauses = 2 + random() % 3;
    for (std::size_t i = 0; i < clauses; ++i) {
      if (i > 0) text += random() % 2 == 0 ? ", e lo " : ", ma lo ";
      text += noun(topic, random) + " " + word(topic, nouns, verbs, random) + " lo " + noun(topic, random);
    }
    return text + ".";
  }

  /// What somebody says who knows the language: the topic of which the most words are. Of equally many, the first:
  /// nobody can do better.
  [[nodiscard]] std::size_t read(const std::string& text) const {
    std::vector<std::size_t> counts(topics);
    for (std::size_t i = 0; i + 6 <= text.size(); ++i)
      if (const auto found = topic_of_.find(text.substr(i, 6)); found != topic_of_.end()) ++counts[found->second];
    std::size_t most = 0;
    for (std::size_t topic = 1; topic < topics; ++topic)
      if (counts[topic] > counts[most]) most = topic;
    return most;
  }

 private:
  std::string noun(std::size_t topic, Random& random) const {
    return word(topic, 0, nouns, random) + (random() % 3 == 0 ? "n" : "");
  }
  std::string word(std::size_t topic, std::size_t from, std::size_t count, Random& random) const {
    if (random() % 10 >= 6) topic = random() % topics;
    return words_[topic * (nouns + verbs) + from + random() % count];
  }

  std::vector<std::string> words_;  // of each topic, nouns and then verbs
  std::map<std::string, std::size_t> topic_of_;
};

}  // namespace example
