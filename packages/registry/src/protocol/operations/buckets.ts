import { s3Error } from "../../s3-error.ts";
import { isoDate } from "../dates.ts";
import type { Exchange } from "../exchange.ts";
import { refuseUnsupported } from "../object-headers.ts";
import type { Operation } from "./operation.ts";
import { ownerElement } from "./owner.ts";

const listBuckets: Operation = {
  name: "ListBuckets",
  needs: "read",
  on: "server",
  method: "GET",
  takes: ["max-buckets", "prefix", "continuation-token", "bucket-region"],
  run: (exchange) => {
    const prefix = exchange.target.query.get("prefix") ?? "";
    const buckets = exchange.host.store.buckets().filter(({ name }) => name.startsWith(prefix));
    exchange.sendXml(200, [
      "ListAllMyBucketsResult",
      [
        ownerElement(),
        [
          "Buckets",
          buckets.map(({ name, createdMs }) => [
            "Bucket",
            [
              ["Name", name],
              ["CreationDate", isoDate(createdMs)],
            ],
          ]),
        ],
      ],
    ]);
  },
};

const createBucket: Operation = {
  name: "CreateBucket",
  needs: "administer",
  on: "bucket",
  method: "PUT",
  run: async (exchange) => {
    const { bucket } = exchange.target;
    refuseUnsupported(exchange.fields);
    const configuration = await exchange.xml("CreateBucketConfiguration");
    const place = configuration?.text("LocationConstraint")?.trim() ?? "";
    if (place !== "" && place !== exchange.host.region)
      throw s3Error("InvalidArgument", `The only region of this server is ${exchange.host.region}.`);
    await exchange.host.store.createBucket(bucket);
    exchange.send(200, "", { Location: `/${bucket}` });
  },
};

const headBucket: Operation = {
  name: "HeadBucket",
  needs: "read",
  on: "bucket",
  method: "HEAD",
  run: (exchange) => {
    checkBucket(exchange);
    exchange.send(200, "", { "x-amz-bucket-region": exchange.host.region });
  },
};

const deleteBucket: Operation = {
  name: "DeleteBucket",
  needs: "administer",
  on: "bucket",
  method: "DELETE",
  run: async (exchange) => {
    await exchange.host.store.deleteBucket(exchange.target.bucket);
    exchange.send(204, "");
  },
};

/** Fails with NoSuchBucket. */
export const checkBucket = ({ host, target }: Exchange): void => {
  if (!host.store.hasBucket(target.bucket))
    throw s3Error("NoSuchBucket", undefined, { details: { BucketName: target.bucket } });
};

export const BUCKET_OPERATIONS: readonly Operation[] = [listBuckets, createBucket, headBucket, deleteBucket];
