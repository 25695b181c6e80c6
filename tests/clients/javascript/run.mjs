// Each operation as the SDK's guide writes it; a line of JSON says how it went.
import { S3Client, CreateBucketCommand, PutObjectCommand, GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, DeleteObjectCommand, DeleteBucketCommand, CopyObjectCommand, DeleteObjectsCommand } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { EC2Client, ImportImageCommand, ImportSnapshotCommand, DescribeImportImageTasksCommand, DescribeImagesCommand, RegisterImageCommand, DeregisterImageCommand, CreateTagsCommand, paginateDescribeImportImageTasks, waitUntilSnapshotImported, CancelImportTaskCommand } from "@aws-sdk/client-ec2";
import { IAMClient, CreateRoleCommand, PutRolePolicyCommand, GetRoleCommand, SimulatePrincipalPolicyCommand } from "@aws-sdk/client-iam";
import { readFileSync } from "node:fs";
const s3 = new S3Client({ forcePathStyle: true }), ec2 = new EC2Client({}), iam = new IAMClient({});
const Bucket = "js-images";
async function step(name, f) { try { const r = await f(); console.log(JSON.stringify({ task: name, ok: true })); return r; } catch (e) { console.log(JSON.stringify({ task: name, ok: false, message: `${e.name}: ${e.message} ${JSON.stringify(e.$metadata ?? {})}` })); } }
await step("CreateBucket", () => s3.send(new CreateBucketCommand({ Bucket })));
await step("PutObject", () => s3.send(new PutObjectCommand({ Bucket, Key: "small", Body: "bytes" })));
await step("GetObject checks the checksum", async () => { const r = await s3.send(new GetObjectCommand({ Bucket, Key: "small", ChecksumMode: "ENABLED" })); const t = await r.Body.transformToString(); if (t !== "bytes") throw new Error(t); });
await step("Upload in parts", () => new Upload({ client: s3, params: { Bucket, Key: "disk.raw", Body: readFileSync(process.argv[2]) }, partSize: 5 << 20 }).done());
await step("GetObject of parts", async () => { const r = await s3.send(new GetObjectCommand({ Bucket, Key: "disk.raw", Range: "bytes=510-511" })); const b = await r.Body.transformToByteArray(); if (b[0] !== 0x55) throw new Error("other bytes"); });
await step("CopyObject", () => s3.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource: `${Bucket}/small` })));
await step("ListObjectsV2", async () => { const r = await s3.send(new ListObjectsV2Command({ Bucket })); if (r.Contents.length !== 3) throw new Error(String(r.Contents.length)); });
await step("PutRolePolicy", () => iam.send(new PutRolePolicyCommand({ RoleName: "vmimport", PolicyName: "js", PolicyDocument: JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "s3:*", Resource: [`arn:aws:s3:::${Bucket}`, `arn:aws:s3:::${Bucket}/*`] }] }) })));
const container = { Format: "raw", UserBucket: { S3Bucket: Bucket, S3Key: "disk.raw" } };
const task = await step("ImportSnapshot", () => ec2.send(new ImportSnapshotCommand({ DiskContainer: container })));
await step("waitUntilSnapshotImported", () => waitUntilSnapshotImported({ client: ec2, maxWaitTime: 30, minDelay: 1, maxDelay: 1 }, { ImportTaskIds: [task.ImportTaskId] }));
const image = await step("ImportImage", () => ec2.send(new ImportImageCommand({ DiskContainers: [container], TagSpecifications: [{ ResourceType: "import-image-task", Tags: [{ Key: "Name", Value: "js" }] }] })));
await step("CancelImportTask", () => ec2.send(new CancelImportTaskCommand({ ImportTaskId: image.ImportTaskId })));
await step("paginateDescribeImportImageTasks", async () => { let n = 0; for await (const page of paginateDescribeImportImageTasks({ client: ec2, pageSize: 5 }, { Filters: [{ Name: "tag:Name", Values: ["js"] }] })) n += page.ImportImageTasks.length; if (n !== 1) throw new Error(String(n)); });
await step("an unknown task is refused", async () => { try { await ec2.send(new DescribeImportImageTasksCommand({ ImportTaskIds: ["import-ami-00000000000000000"] })); } catch (e) { if (e.name.startsWith("Invalid")) return; throw e; } throw new Error("accepted"); });
await step("DeleteObjects", () => s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: "small" }, { Key: "copy" }, { Key: "disk.raw" }] } })));
await step("DeleteBucket", () => s3.send(new DeleteBucketCommand({ Bucket })));
