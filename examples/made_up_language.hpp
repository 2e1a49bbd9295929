// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace example {

/// A language that nobody has to download, and of which the right answers are known.
///
/// Each of its words is about one of 8 topics, 36 about each. A text is 8 to 12 words: it has a topic, six in ten of
/// its words are about that, the others about anything. Nothing in a word's letters tells its topic: that can only be
/// learnt from the company that the word keeps, or from being told. An n at the end of a word is its plural:
///
///     ditoto subegu manini debapun papolen valozin gerosan nonapu vasuva
class MadeUpLanguage {
 public:
  using Random = std::mt19937_64;
  static constexpr std::size_t topics = 8, words_per_topic = 36;

  explicit MadeUpLanguage(std::uint64_t seed) {
    Random random(seed);
    const std::string consonants = "bdfgklmnprstvz", vowels = "aeiou";
    while (words_.size() < topics * words_per_topic) {
      std::string word;
      for (int syllable = 0; syllable < 3; ++syllable) {
        word += consonants[random() % consonants.size()];
        word += vowels[random() % vowels.size()];
      }
      if (topic_of_.emplace(word, words_.size() / words_per_topic).second) words_.push_back(word);
    }
  }

  /// What a tokenizer has to know: its vocab.txt.
  [[nodiscard]] std::vector<std::string> vocabulary() const {
    std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##n"};
    tokens.insert(tokens.end(), words_.begin(), words_.end());
    return tokens;
  }

  /// A new text about a topic.
  [[nodiscard]] std::string write(std::size_t topic, Random& random) const {
    std::string text;
    for (std::size_t left = 8 + random() % 5; left > 0; --left) {
      const std::size_t about = random() % 10 < 6 ? topic : random() % topics;
      text += words_[about * words_per_topic + random() % words_per_topic];
      text += random() % 5 == 0 ? "n " : " ";
    }
    return text;
  }

  /// What somebody says who knows the language: the topic of most words. Of equally many it is the first: nobody can do
  /// better.
  [[nodiscard]] std::size_t read(const std::string& text) const {
    std::vector<std::size_t> counts(topics);
    for (std::size_t at = 0; at < text.size(); at = text.find(' ', at) + 1) ++counts[topic_of_.at(text.substr(at, 6))];
    return static_cast<std::size_t>(std::ranges::max_element(counts) - counts.begin());
  }

 private:
  std::vector<std::string> words_;  // by topic
  std::map<std::string, std::size_t> topic_of_;
};

}  // namespace example
