#include "runtime/tiles.h"

#include <algorithm>
#include <string_view>

#include "bundles/manifest.h"
#include "runtime/preprocess.h"

namespace lorapress {
namespace {

struct Size {
  int64_t width;
  int64_t height;
};

int64_t scaled(int64_t length, double ratio) {
  return static_cast<int64_t>(static_cast<double>(length) * ratio);
}

// _resize_output_size_rescale_to_max_len, and below MAX_IMAGE_SIZE, which preprocessing checks: the
// longest edge becomes `edge`, the other is rounded down and then up to an even number.
Size with_longest_edge(const Size& from, int64_t edge) {
  const double ratio = static_cast<double>(from.width) / static_cast<double>(from.height);
  const auto even = [](int64_t length) { return std::max<int64_t>(1, length + length % 2); };
  if (from.width >= from.height) {
    return {edge, even(static_cast<int64_t>(static_cast<double>(edge) / ratio))};
  }
  return {even(scaled(edge, ratio)), edge};
}

// _resize_output_size_scale_below_upper_bound: an edge of 1 became 2 above, never more than 4096.
int64_t up_to_multiple(int64_t length, int64_t of) {
  return (length + of - 1) / of * of;
}

// resize_for_vision_encoder
Size whole_tiles(const Size& from, int64_t tile) {
  const double ratio = static_cast<double>(from.width) / static_cast<double>(from.height);
  Size size = from;
  if (from.width >= from.height) {
    size.width = up_to_multiple(from.width, tile);
    size.height = static_cast<int64_t>(static_cast<double>(size.width) / ratio);
    size.height = up_to_multiple(size.height, tile);
  } else {
    size.height = up_to_multiple(from.height, tile);
    size.width = up_to_multiple(scaled(size.height, ratio), tile);
  }
  return size;
}

Image resized(const Image& image, const Size& size, const Preprocessing& settings) {
  return resize(image, size.width, size.height, parse_resample(settings.resample, kManifestName));
}

Image crop(const Image& image, int64_t left, int64_t top, int64_t size) {
  Image part{size, size, {}};
  part.rgb.reserve(static_cast<size_t>(size * size * 3));
  for (int64_t row = 0; row < size; ++row) {
    const auto first = image.rgb.begin() + ((top + row) * image.width + left) * 3;
    part.rgb.insert(part.rgb.end(), first, first + size * 3);
  }
  return part;
}

void replace_first(std::string& text, std::string_view what, const std::string& by) {
  if (const size_t at = text.find(what); at != std::string::npos) {
    text.replace(at, what.size(), by);
  }
}

std::string tile_token(std::string text, int64_t row, int64_t column) {
  replace_first(text, "{row}", std::to_string(row));
  replace_first(text, "{col}", std::to_string(column));
  return text;
}

}  // namespace

Tiles split_image(const Image& image, const Preprocessing& settings) {
  const int64_t tile = settings.height;
  const Size size{image.width, image.height};
  const Size first = with_longest_edge(size, settings.splitting->longest_edge);
  Image whole = resized(image, first, settings);
  Tiles tiles;
  if (settings.splitting->enabled) {
    const Size even = whole_tiles(first, tile);
    whole = resized(whole, even, settings);
    if (even.width > tile || even.height > tile) {
      tiles.rows = even.height / tile;
      tiles.columns = even.width / tile;
    }
    for (int64_t row = 0; row < tiles.rows; ++row) {
      for (int64_t column = 0; column < tiles.columns; ++column) {
        tiles.images.push_back(crop(whole, column * tile, row * tile, tile));
      }
    }
  }
  tiles.images.push_back(resized(whole, {tile, tile}, settings));
  return tiles;
}

TiledPixels tiled_pixels(const Image& image, const Preprocessing& settings) {
  if (!settings.splitting) {
    return {preprocess(image, settings)};
  }
  const Tiles tiles = split_image(image, settings);
  TiledPixels pixels{{}, tiles.rows, tiles.columns};
  for (const Image& tile : tiles.images) {
    const std::vector<float> values = normalised(tile, settings);
    pixels.values.insert(pixels.values.end(), values.begin(), values.end());
  }
  return pixels;
}

std::string tiles_prompt(int64_t rows,
                         int64_t columns,
                         int64_t positions,
                         const TileTokens& tokens) {
  std::string images;
  for (int64_t i = 0; i < positions; ++i) {
    images += tokens.image;
  }
  std::string text;
  for (int64_t row = 1; row <= rows; ++row) {
    for (int64_t column = 1; column <= columns; ++column) {
      text += tokens.around + tile_token(tokens.tile, row, column) + images;
    }
    text += "\n";
  }
  text += rows != 0 ? "\n" : "";
  return text + tokens.around + tokens.global + images + tokens.around;
}

}  // namespace lorapress
