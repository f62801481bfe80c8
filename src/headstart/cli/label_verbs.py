"""The verbs that work on images by their vectors: label, review, embed, similar, map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.options import Bands, Data, Device, Json, Label, Show, asked_bands

Backbone = Annotated[str, typer.Option(help="The network that computes the vectors.")]
Weights = Annotated[str, typer.Option(help="imagenet, aerial, none or a file.")]
Port = Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")]
Host = Annotated[str, typer.Option(help="The address to listen on; the page needs the key that is printed.")]
EMBEDDED = "efficientnet_lite0"


def add_label_verbs(app: typer.Typer) -> None:
    """Add the verbs of this module to the command line."""
    for verb in (label, review, embed, similar):
        app.command()(verb)
    app.command("map")(map_images)


def label(
    folder: Annotated[str, typer.Argument(help="A folder of images; its subfolders are searched too.")],
    classes: Annotated[
        str | None, typer.Option(help="Names of classes, separated by commas; more can be added.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The CSV of labels (default: FOLDER-labels.csv).")
    ] = None,
    backbone: Backbone = EMBEDDED,
    weights: Weights = "imagenet",
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Show the most informative images first, instead of a random order.")
    ] = False,
    random: Annotated[
        float, typer.Option(help="With --suggest: share of labels from the random sample, which measures the accuracy.")
    ] = 0.25,
    bands: Bands = None,
    show: Show = None,
    port: Port = 8010,
    host: Host = "127.0.0.1",
    device: Device = "auto",
) -> None:
    """Label images in the browser.

    Each label is saved at once in a CSV that `compare` accepts. You can stop and continue at any time.

    Example: headstart label photos/ --classes cat,dog
    """
    from headstart.cli.label import label_and_serve

    label_and_serve(
        folder,
        classes,
        backbone,
        weights,
        out=out,
        host=host,
        port=port,
        random=random,
        suggest=suggest,
        read=asked_bands(bands, show),
        device=device,
    )


def review(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The CSV of corrections.")] = Path("corrections.csv"),
    backbone: Backbone = EMBEDDED,
    weights: Weights = "imagenet",
    label: Label = None,
    bands: Bands = None,
    show: Show = None,
    port: Port = 8011,
    host: Host = "127.0.0.1",
    device: Device = "auto",
) -> None:
    """Review duplicates, wrong labels and odd images in the browser.

    Each decision is saved at once in a CSV that studies accept. No image is changed.

    Example: headstart review photos/
    """
    from headstart.cli.review import review_and_serve

    read = asked_bands(bands, show)
    review_and_serve(data, backbone, weights, label=label, read=read, out=out, host=host, port=port, device=device)


def embed(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="A .parquet, .csv or .npz file.")] = Path(
        "embeddings.parquet"
    ),
    backbone: Backbone = EMBEDDED,
    weights: Weights = "imagenet",
    label: Label = None,
    bands: Bands = None,
    show: Show = None,
    device: Device = "auto",
) -> None:
    """Write one vector per image, with its name and label.

    Example: headstart embed photos/ --out embeddings.parquet
    """
    from headstart.cli.embed import embed_and_write

    embed_and_write(data, out, backbone, weights, label=label, read=asked_bands(bands, show), device=device)


def similar(
    data: Data,
    picture: Annotated[Path, typer.Argument(help="The query image.")],
    count: Annotated[int, typer.Option(min=1, help="Number of images to find.")] = 10,
    backbone: Backbone = EMBEDDED,
    weights: Weights = "imagenet",
    label: Label = None,
    bands: Bands = None,
    show: Show = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also draw them in a PNG file.")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Find the images most like a given one.

    Example: headstart similar photos/ photo.jpg --out similar.png
    """
    from headstart.cli.embed import similar_and_show

    similar_and_show(
        data,
        picture,
        count,
        backbone,
        weights,
        label=label,
        read=asked_bands(bands, show),
        out=out,
        device=device,
        as_json=json,
    )


def map_images(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file.")] = Path("map.html"),
    method: Annotated[str, typer.Option(help="auto, tsne (similar images close together; extra map) or pca.")] = "auto",
    model: Annotated[
        str | None, typer.Option(help="A saved classifier: its predictions and mistakes are shown.")
    ] = None,
    thumbnails: Annotated[int, typer.Option(min=0, help="Maximum number of thumbnails in the page.")] = 4000,
    backbone: Backbone = EMBEDDED,
    weights: Weights = "imagenet",
    label: Label = None,
    bands: Bands = None,
    show: Show = None,
    seed: Annotated[int, typer.Option(help="Random seed of the t-SNE map.")] = 0,
    device: Device = "auto",
) -> None:
    """Draw all images in two dimensions, similar ones close together.

    The page works offline. Colour by class, split, time or mistakes; zoom; choose images with a lasso.

    Example: headstart map photos/ --out map.html
    """
    from headstart.cli.image_map import map_and_write

    map_and_write(
        data,
        out,
        backbone,
        weights,
        label=label,
        read=asked_bands(bands, show),
        method=method,
        model=model,
        thumbnails=thumbnails,
        seed=seed,
        device=device,
    )
