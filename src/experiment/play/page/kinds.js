// What the edges of the graph can show.

export const KINDS = { weight: "weight w", gradient: "gradient ∂L/∂w", update: "update w′ − w" };
