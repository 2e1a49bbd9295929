// SPDX-License-Identifier: BSD-3-Clause
// expect: thaw: adapt the body, then make the U-Net: its decoder takes the image, too
#include <thaw/models/adapt_first_convolution.hpp>
#include <thaw/models/unet.hpp>

void make(thaw::models::UNet model) {
  thaw::models::adapt_first_convolution(model, 1);
}
