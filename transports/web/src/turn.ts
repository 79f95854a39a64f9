/** Who has the floor, told from the events that the server sends. */
export type Floor = "listening" | "hearing" | "thinking" | "speaking";

export type FloorEvent =
  | "user-started-speaking"
  | "user-stopped-speaking"
  | "user-typed"
  | "bot-llm-started"
  | "bot-started-speaking"
  | "bot-stopped-speaking"
  | "bot-interrupted"
  | "gave-up-thinking";

/** A turn that gets no answer (a cough, an empty transcript) must not look like thought for ever. */
export const THINKING_LIMIT_MS = 20_000;

export function nextFloor(floor: Floor, event: FloorEvent): Floor {
  switch (event) {
    case "user-started-speaking":
      return "hearing";
    case "user-stopped-speaking":
      return floor === "hearing" ? "thinking" : floor;
    case "user-typed":
      return "thinking";
    case "bot-llm-started":
      return floor === "listening" ? "thinking" : floor;
    case "bot-started-speaking":
      return "speaking";
    case "bot-stopped-speaking":
    case "bot-interrupted":
      return floor === "speaking" ? "listening" : floor;
    case "gave-up-thinking":
      return floor === "thinking" ? "listening" : floor;
  }
}

export const FLOOR_TEXT: Record<Floor, string> = {
  listening: "Listening",
  hearing: "Hearing you",
  thinking: "Thinking",
  speaking: "Speaking",
};
