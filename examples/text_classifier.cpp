// SPDX-License-Identifier: BSD-3-Clause
// Fine-tuning a transformer on text by ULMFiT's recipe (Howard & Ruder 2018, arXiv:1801.06146):
//
//   1. pre-train on much text that nobody has labelled: BERT's way (arXiv:1810.04805), guess the words that are masked
//   2. a new head, and a few labelled texts:
//        gradual unfreezing       the head alone in the first epoch, then one layer more in each
//        discriminative rates     each layer at 1/2.6 of the rate of the one after it
//        slanted triangular       a short rise of all rates, then a long fall
//
// As it is, it needs no data: it makes up a language (made_up_language.hpp), in which the right answers are known. The
// opponent is the same network from random weights, which sees the same few labels.
//
// With real ones: --weights is a folder as Hugging Face has it (config.json, model.safetensors, vocab.txt), of
// sentence-transformers/all-MiniLM-L6-v2, say; --data is a CSV file with columns "text" and "label", or a folder with a
// folder of .txt files per class.
//
//   text_classifier --weights all-MiniLM-L6-v2 --data reviews.csv --labelled 200 --epochs 10

#include <fmt/format.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <thaw/models/bert.hpp>
#include <thaw/text/labelled_texts.hpp>
#include <thaw/text/text_source.hpp>
#include <thaw/text/word_piece.hpp>
#include <thaw/thaw.hpp>
#include <thaw/weights/load.hpp>
#include <thaw/weights/save.hpp>
#include <utility>
#include <vector>

#include "made_up_language.hpp"

namespace {

using example::MadeUpLanguage;
using thaw::models::BertForSequenceClassification;
using thaw::models::BertOptions;

struct Options {
  std::filesystem::path data, weights, out = "out";
  std::int64_t epochs = 30, size = 64, labelled = 16, unlabelled = 20'000, pretrain_epochs = 4;
  std::uint64_t seed = 42;
};

struct Task {
  thaw::text::LabelledTexts train, test;
};

// ---- 1. pre-training ----------------------------------------------------------------------------------------------

/// BERT, and what guesses words from what it makes of each place: by the embeddings that take them in, as Hugging
/// Face's BertForMaskedLM does. `forward` stops before the guess, which is needed at a few places only.
struct MaskedLanguageModelImpl : torch::nn::Module {
  explicit MaskedLanguageModelImpl(BertForSequenceClassification bert_) : bert(std::move(bert_)) {
    const std::int64_t width = bert->options.width;
    register_module("bert", bert);
    dense = register_module("dense", torch::nn::Linear(width, width));
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({width})));
    bias = register_parameter("bias", at::zeros({bert->options.vocabulary}));
  }

  at::Tensor forward(const at::Tensor& ids, const at::Tensor& mask, const at::Tensor& types) {
    return bert->hidden_states(ids, mask, types);
  }

  /// [places, width] -> logits [places, words]
  at::Tensor guess(const at::Tensor& hidden) {
    return at::linear(norm(at::gelu(dense(hidden))), bert->embeddings->words->weight, bias);
  }

  BertForSequenceClassification bert;
  torch::nn::Linear dense{nullptr};
  torch::nn::LayerNorm norm{nullptr};
  at::Tensor bias;
};
TORCH_MODULE(MaskedLanguageModel);

/// Texts of which some words are to be guessed. A source of batches is any class with these two functions; that the
/// same epoch gives the same batches is all it promises.
class MaskedTexts {
 public:
  MaskedTexts(const std::vector<thaw::text::Tokens>& texts, const thaw::text::WordPiece& tokenizer, std::uint64_t seed)
      : texts_({.texts = texts,
                .target = at::zeros({std::ssize(texts)}),  // what is to be guessed comes below
                .padding = tokenizer.padding(),
                .batch_size = 64,
                .shuffle = true,
                .seed = seed}),
        mask_(tokenizer.id("[MASK]").value()),
        vocabulary_(tokenizer.size()),
        seed_(seed) {}

  [[nodiscard]] std::int64_t batches() const { return texts_.batches(); }
  [[nodiscard]] thaw::BatchStream stream(std::int64_t epoch) const {
    const auto random = at::make_generator<at::CPUGeneratorImpl>(thaw::mixed_seed(seed_ + 1, epoch));
    return [self = *this, random, next = texts_.stream(epoch)]() -> std::optional<thaw::Batch> {
      std::optional<thaw::Batch> batch = next();
      if (batch) self.hide_words(*batch, random);
      return batch;
    };
  }

 private:
  /// Three in ten words are to be guessed (BERT: 15 in 100). Most of them are shown as [MASK], some as another word and
  /// some as what they are: else the network would learn to do nothing where it sees no [MASK], and later there is
  /// none. Elsewhere the target is -1.
  void hide_words(thaw::Batch& batch, const at::Generator& random) const {
    const at::Tensor ids = batch.input[0], chance = at::rand(ids.sizes(), random);
    const at::Tensor guess = (chance < 0.3).logical_and(ids > mask_);  // special tokens come first in the vocabulary
    const at::Tensor other = at::randint(mask_ + 1, vocabulary_, ids.sizes(), random, at::kLong);
    batch.target = at::where(guess, ids, -1);
    const at::Tensor shown = at::where(guess.logical_and(chance < 0.27), other, ids);
    batch.input.replace(0, at::where(guess.logical_and(chance < 0.24), mask_, shown));
  }

  thaw::text::TextSource texts_;
  std::int64_t mask_, vocabulary_;
  std::uint64_t seed_;
};

/// Hugging Face's initial values, of deviation .02, are meant for a width of 768. In a narrow network they all but shut
/// the way through attention, and for long nothing is learnt from the company that a word keeps.
void widen(const thaw::models::BertForSequenceClassificationImpl& bert) {
  const c10::NoGradGuard no_grad;
  for (const at::Tensor& weight : bert.parameters())
    if (weight.dim() == 2) weight.mul_(std::sqrt(768.0 / static_cast<double>(bert.options.width)));
}

/// Writes a folder as Hugging Face has it: a tokenizer's vocabulary, and a small BERT that has read `--unlabelled`
/// texts.
std::filesystem::path pretrain(const MadeUpLanguage& language, const Options& options) {
  const std::filesystem::path folder = options.out / "made_up_bert";
  std::filesystem::create_directories(folder);
  std::ofstream vocabulary(folder / "vocab.txt");
  for (const std::string& token : language.vocabulary()) vocabulary << token << '\n';
  vocabulary.close();
  const thaw::text::WordPiece tokenizer{folder / "vocab.txt"};

  MadeUpLanguage::Random random(options.seed + 1);
  std::vector<std::string> texts;
  for (std::int64_t i = 0; i < options.unlabelled; ++i)
    texts.push_back(language.write(random() % MadeUpLanguage::topics, random));
  fmt::print("{} texts without labels, such as: {}\n", texts.size(), texts[0]);

  at::manual_seed(options.seed);
  BertForSequenceClassification bert(BertOptions{.vocabulary = tokenizer.size(),
                                                 .width = 64,
                                                 .depth = 2,
                                                 .heads = 4,
                                                 .mlp_width = 128,
                                                 .max_tokens = 64,
                                                 .dropout = 0,
                                                 .attention_dropout = 0,
                                                 .pooling = thaw::models::BertPooling::mean});
  widen(*bert);
  MaskedLanguageModel model{bert};
  const MaskedTexts train(tokenizer.encode(texts, options.size), tokenizer, options.seed);
  const auto loss = [net = model.ptr()](const at::Tensor& hidden, const at::Tensor& target) {
    const at::Tensor places = target.flatten().ge(0).nonzero().squeeze(1);
    return thaw::cross_entropy(net->guess(hidden.flatten(0, 1).index_select(0, places)),
                               target.flatten().index_select(0, places));
  };
  thaw::Learner learner{
      model, thaw::LayerGroups::cut_before(model, {}), loss, {.train = train, .callbacks = {thaw::Console{}}}};
  learner.fit({.name = "pre-training", .epochs = options.pretrain_epochs, .lr = 3e-3});

  thaw::save_weights(*bert, folder / "model.safetensors");
  std::ofstream(folder / "config.json") << nlohmann::json{{"model_type", "bert"},
                                                          {"vocab_size", bert->options.vocabulary},
                                                          {"hidden_size", bert->options.width},
                                                          {"num_hidden_layers", bert->options.depth},
                                                          {"num_attention_heads", bert->options.heads},
                                                          {"intermediate_size", bert->options.mlp_width},
                                                          {"max_position_embeddings", bert->options.max_tokens}};
  return folder;
}

// ---- 2. fine-tuning -----------------------------------------------------------------------------------------------

/// The network that a folder's config.json describes, with random weights.
BertForSequenceClassification make_model(const std::filesystem::path& folder, std::size_t classes) {
  std::ifstream file(folder / "config.json");
  if (!file)
    throw thaw::FileError((folder / "config.json").string(), "cannot be opened",
                          "give --weights a folder with config.json, model.safetensors and vocab.txt");
  const nlohmann::json config = nlohmann::json::parse(file);
  return BertForSequenceClassification(BertOptions{.classes = static_cast<std::int64_t>(classes),
                                                   .vocabulary = config.at("vocab_size"),
                                                   .width = config.at("hidden_size"),
                                                   .depth = config.at("num_hidden_layers"),
                                                   .heads = config.at("num_attention_heads"),
                                                   .mlp_width = config.at("intermediate_size"),
                                                   .max_tokens = config.at("max_position_embeddings"),
                                                   .pooling = thaw::models::BertPooling::mean});
}

/// The tokenizer of a folder; cased if its tokenizer_config.json says so.
thaw::text::WordPiece make_tokenizer(const std::filesystem::path& folder) {
  std::ifstream file(folder / "tokenizer_config.json");
  const nlohmann::json config = file ? nlohmann::json::parse(file) : nlohmann::json::object();
  return thaw::text::WordPiece(folder / "vocab.txt", {.lower_case = config.value("do_lower_case", true)});
}

/// Takes the encoder's weights from model.safetensors. Some files put "bert." before each name, others do not; a head,
/// a pooler and the numbers of positions are none of ours.
void load_encoder(BertForSequenceClassification& model, const std::filesystem::path& folder) {
  const thaw::StateDict file = thaw::read_weights(folder / "model.safetensors");
  thaw::LoadOptions how{.drop = {"classifier.*"}};
  if (!file.contains("bert.embeddings.LayerNorm.weight")) how.rename = {{"^", "bert."}};
  for (const auto& [name, tensor] : file)
    for (const char* other : {"pooler.", "position_ids", "cls."})
      if (name.find(other) != std::string::npos) how.drop.push_back("*" + name);
  thaw::load_weights(model, file, how);
}

thaw::text::TextSource batches(const thaw::text::LabelledTexts& data, const thaw::text::WordPiece& tokenizer, const Options& options,
                         bool train) {
  return thaw::text::TextSource({.texts = tokenizer.encode(data.texts, options.size),
                           .target = data.target(),
                           .padding = tokenizer.padding(),
                           .batch_size = train ? 8 : 64,
                           .shuffle = train,
                           .seed = options.seed});
}

/// Trains a model on the few labelled texts, in groups, by this plan; gives the accuracy on the others.
double accuracy_after(BertForSequenceClassification model, const std::vector<std::string>& cuts, thaw::Stage stage,
                      const Task& task, const thaw::text::WordPiece& tokenizer, const Options& options) {
  thaw::Learner learner{model,
                        thaw::LayerGroups::cut_before(model, cuts),
                        thaw::cross_entropy,
                        {.train = batches(task.train, tokenizer, options, true), .metrics = {thaw::accuracy()}}};
  learner.fit(stage);
  return learner.validate(batches(task.test, tokenizer, options, false)).metrics[0].value;
}

double ulmfit(const std::filesystem::path& weights, const Task& task, const thaw::text::WordPiece& tokenizer,
              const Options& options, bool unfreeze) {
  at::manual_seed(options.seed);
  auto model = make_model(weights, task.train.classes.size());
  load_encoder(model, weights);
  const auto cuts = thaw::models::bert_layer_cuts(*model);  // embeddings | each layer | head
  thaw::Stage stage{.name = "ULMFiT",
                    .epochs = options.epochs,
                    .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}},
                    .lr = thaw::DiscriminativeLR::decay(2e-3, 2.6),
                    .schedule = thaw::SlantedTriangular{.cut_frac = 0.1, .ratio = 32}};
  if (!unfreeze) stage.freeze = thaw::FreezeTo{-1};
  return accuracy_after(model, cuts, stage, task, tokenizer, options);
}

/// The opponent: all layers from random weights at one rate.
double from_random(const std::filesystem::path& config, double lr, const Task& task, const thaw::text::WordPiece& tokenizer,
                   const Options& options) {
  at::manual_seed(options.seed);
  const auto model = make_model(config, task.train.classes.size());
  widen(*model);
  return accuracy_after(model, {}, {.name = "random", .epochs = options.epochs, .lr = lr}, task, tokenizer, options);
}

// ---- the task -----------------------------------------------------------------------------------------------------

Task made_up_task(const MadeUpLanguage& language, const Options& options) {
  MadeUpLanguage::Random random(options.seed + 2);
  const auto write = [&](std::int64_t n) {
    thaw::text::LabelledTexts result{.classes = {"weather", "sea", "kitchen", "music", "farm", "law", "stars", "games"}};
    for (std::int64_t i = 0; i < n; ++i) {
      result.labels.push_back(i % std::ssize(result.classes));
      result.texts.push_back(language.write(static_cast<std::size_t>(result.labels.back()), random));
    }
    return result;
  };
  Task task{.train = write(options.labelled), .test = {}};
  task.test = write(2000);
  return task;
}

/// The texts of a file or folder in random order: the first ones to train on, up to 1,000 of the others to test.
Task read_task(const Options& options) {
  const thaw::text::LabelledTexts all =
      std::filesystem::is_directory(options.data) ? thaw::text::text_folder(options.data) : thaw::text::text_csv(options.data);
  if (std::ssize(all.texts) <= options.labelled)
    throw thaw::DataError(options.data.string(), fmt::format("has {} texts", all.texts.size()),
                          fmt::format("give more than the {} to train on, or lower --labelled", options.labelled));
  std::vector<std::size_t> order(all.texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937_64(options.seed));
  Task task{.train = {.classes = all.classes}, .test = {.classes = all.classes}};
  for (std::size_t i = 0; i < std::min(order.size(), static_cast<std::size_t>(options.labelled + 1000)); ++i) {
    thaw::text::LabelledTexts& part = std::ssize(task.train.texts) < options.labelled ? task.train : task.test;
    part.texts.push_back(all.texts[order[i]]);
    part.labels.push_back(all.labels[order[i]]);
  }
  return task;
}

double right_answers(const MadeUpLanguage& language, const thaw::text::LabelledTexts& texts) {
  double right = 0;
  for (std::size_t i = 0; i < texts.texts.size(); ++i)
    if (std::cmp_equal(language.read(texts.texts[i]), texts.labels[i])) ++right;
  return right / static_cast<double>(texts.texts.size());
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

int run(const Options& options) {
  const bool made_up = options.data.empty();
  if (made_up != options.weights.empty())
    throw thaw::ConfigError("text_classifier", "--data and --weights belong together",
                            "give both, or none for a language that is made up");
  if (made_up) at::set_num_threads(1);  // so small a network gains nothing by more, which wait for each other busily
  const MadeUpLanguage language(options.seed);
  const auto begin = std::chrono::steady_clock::now();
  const auto weights = made_up ? pretrain(language, options) : options.weights;
  const thaw::text::WordPiece tokenizer = make_tokenizer(weights);
  const Task task = made_up ? made_up_task(language, options) : read_task(options);
  fmt::print("\n{} labelled texts of {} classes to train on, {} to test\n", task.train.texts.size(),
             task.train.classes.size(), task.test.texts.size());

  thaw::Table table{{"arm", "accuracy", "seconds so far"}};
  const auto note = [&](const std::string& arm, double accuracy) {
    table.add(arm, fmt::format("{:.3f}", accuracy), fmt::format("{:.0f}", seconds_since(begin)));
    return accuracy;
  };
  note("pretrained, head only", ulmfit(weights, task, tokenizer, options, false));
  const double thawed = note("pretrained, gradually unfrozen", ulmfit(weights, task, tokenizer, options, true));
  double random = 0;  // the best of three rates, by the test texts themselves: that favours the opponent
  for (const double lr : {3e-4, 2e-3, 1e-2})
    random = std::max(random, from_random(weights, lr, task, tokenizer, options));
  note("from random weights", random);
  if (made_up) note("who knows the language", right_answers(language, task.test));
  fmt::print("\n{}\n", thaw::to_text(table));

  if (made_up && !(thawed >= 0.75 && random <= 0.65)) {
    fmt::print(stderr, "pre-training did not pay as it should: {:.3f}, from random weights {:.3f}\n", thawed, random);
    return EXIT_FAILURE;
  }
  fmt::print("ok: pretrained {:.2f}, from random weights {:.2f}\n", thawed, random);
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  CLI::App app{"Fine-tunes a transformer on a few labelled texts by ULMFiT's recipe"};
  app.option_defaults()->always_capture_default();
  app.add_option("--data", options.data, "CSV file (text,label), or folder with a folder of .txt files per class");
  app.add_option("--weights", options.weights, "folder with config.json, model.safetensors and vocab.txt of a BERT");
  app.add_option("--epochs", options.epochs, "of fine-tuning; one for each layer and two more thaw all");
  app.add_option("--size", options.size, "tokens of a text, at most");
  app.add_option("--labelled", options.labelled, "texts to train on");
  app.add_option("--unlabelled", options.unlabelled, "texts to pre-train on, where the language is made up");
  app.add_option("--pretrain-epochs", options.pretrain_epochs, "passes over them");
  app.add_option("--out", options.out, "folder for what is written");
  app.add_option("--seed", options.seed, "of all that is random");
  CLI11_PARSE(app, argc, argv);
  return run(options);
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
