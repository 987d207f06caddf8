// An agent made with the JavaScript SDK, on all three bindings; prints its URL when it is up.
// What it does is the text that it is sent: ask, hang, parts, or anything else, which it echoes.
import express from "express";
import * as grpc from "@grpc/grpc-js";
import { AgentCard, Task, TaskArtifactUpdateEvent, TaskStatusUpdateEvent } from "@a2a-js/sdk";
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from "@a2a-js/sdk/server";
import { UserBuilder, agentCardHandler, jsonRpcHandler, restHandler } from "@a2a-js/sdk/server/express";
import { A2AService, grpcService } from "@a2a-js/sdk/server/grpc";

const running = new Map();

function status(ids, state, text) {
  const message = text && { messageId: "said", role: "ROLE_AGENT", parts: [{ text }] };
  return TaskStatusUpdateEvent.fromJSON({ ...ids, status: { state: `TASK_STATE_${state}`, message } });
}

class Executor {
  async execute(context, bus) {
    const { taskId, contextId, userMessage } = context;
    const ids = { taskId, contextId };
    const text = userMessage.parts
      .map((part) => (part.content?.$case === "text" ? part.content.value : ""))
      .join("");
    const state = { state: "TASK_STATE_WORKING" };
    const begun = context.task ?? Task.fromJSON({ id: taskId, contextId, status: state });
    bus.publish(AgentEvent.task(begun));
    if (text === "ask") {
      bus.publish(AgentEvent.statusUpdate(status(ids, "INPUT_REQUIRED", "Which region?")));
    } else if (text === "hang") {
      await new Promise((resolve) => running.set(taskId, resolve));
      return;
    } else {
      const parts =
        text === "parts"
          ? [{ raw: "AAH/", mediaType: "image/png", filename: "a.png" }, { data: { a: [1, null, "é"] } }]
          : [{ text: `you said ${text}` }];
      const artifact = { artifactId: "a", name: "result", parts };
      bus.publish(AgentEvent.artifactUpdate(TaskArtifactUpdateEvent.fromJSON({ ...ids, artifact })));
      bus.publish(AgentEvent.statusUpdate(status(ids, "COMPLETED")));
    }
    bus.finished();
  }

  async cancelTask(taskId, bus) {
    bus.publish(AgentEvent.statusUpdate(status({ taskId, contextId: "" }, "CANCELED")));
    bus.finished();
    running.get(taskId)?.();
    console.log(`canceled ${taskId}`);
  }
}

const app = express();
const server = app.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const rpc = new grpc.Server();
  rpc.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    const where = { JSONRPC: `${url}/rpc`, "HTTP+JSON": `${url}/rest`, GRPC: `127.0.0.1:${port}` };
    const card = AgentCard.fromJSON({
      name: "a2a-js",
      description: "Does what its message says.",
      version: "1",
      supportedInterfaces: Object.entries(where).map(([protocolBinding, at]) => ({
        url: at,
        protocolBinding,
        protocolVersion: "1.0",
      })),
      capabilities: { streaming: true },
      defaultInputModes: ["text/plain"],
      defaultOutputModes: ["text/plain"],
      skills: [{ id: "do", name: "do", description: "Does it.", tags: ["general"] }],
    });
    const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Executor());
    const served = { requestHandler, userBuilder: UserBuilder.noAuthentication };
    app.use("/.well-known/agent-card.json", agentCardHandler({ agentCardProvider: requestHandler }));
    app.use("/rpc", jsonRpcHandler(served));
    app.use("/rest", restHandler(served));
    rpc.addService(A2AService, grpcService(served));
    console.log(url);
  });
});
