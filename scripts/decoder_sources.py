"""Measure what outputs, logits, hidden layers and codes keep of an image, for docs/others.md.

    python scripts/decoder_sources.py

A decoder of each is asked for the ten classes, and for test images by what the network makes of
them.
"""

import jax
import numpy as np

import jaxbq


def main() -> None:
    data = jaxbq.Mnist10k().load()
    model = jaxbq.MLP((784, 200, 100, 10))
    params = jaxbq.train(model, data, key=jax.random.key(100)).params
    judge = jaxbq.trained_judges(data)[0]
    seen = model.trace(params, data.test_images)
    sources = {
        "outputs": (jaxbq.Decoder(source="outputs"), seen.activations[-1]),
        "logits": (jaxbq.Decoder(), seen.pre_activations[-1]),
        "hidden 2": (jaxbq.Decoder(source="hidden", layer=2), seen.activations[2]),
        "hidden 1": (jaxbq.Decoder(source="hidden", layer=1), seen.activations[1]),
        "codes": (jaxbq.Decoder(source="codes"), None),
    }
    targets = jaxbq.Codes().targets(10)
    for name, (method, inputs) in sources.items():
        found = jaxbq.invert(method, model, params, targets, reference=data)
        read = judge.read(found.images[:, 0]).argmax(axis=1) == np.arange(10)
        missed = ""
        if inputs is not None:
            state = method.prepare(model, params, data.reference, jax.random.key(0))
            back = np.asarray(method.decode(state, inputs))
            missed = f", error of test images {np.square(back - data.test_images).mean():.3f}"
        chance = found.outputs[:, 0].diagonal().mean()
        print(f"{name}: probability {chance:.3f}, judge {read.sum()} of 10{missed}")


if __name__ == "__main__":
    main()
