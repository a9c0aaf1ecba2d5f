# A FastAPI app: paths, queries and bodies that are checked, server-sent events, and a page that documents it all
# (/run/fastapi/docs; a browser fetches that page's script from the internet).
#
#   curl 'localhost:8080/run/fastapi/items/3?detail=true'
#   curl localhost:8080/run/fastapi/orders -H 'content-type: application/json' -d '{"item": 3, "count": 2}'
#   curl -N localhost:8080/run/fastapi/ticks
import asyncio
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

app = FastAPI(title="A shop")

PRICES = {1: 2.5, 2: 10.0, 3: 7.25}


class Order(BaseModel):
    item: int
    count: int = Field(ge=1, le=100)


@app.get("/items/{item}")
async def item(item: Annotated[int, Path(ge=1)], detail: Annotated[bool, Query()] = False):
    price = price_of(item)
    return {"item": item, "price": price, "currency": "USD"} if detail else {"item": item, "price": price}


@app.post("/orders", status_code=201)
async def order(order: Order):
    return {"item": order.item, "count": order.count, "total": price_of(order.item) * order.count}


@app.get("/ticks")
async def ticks(count: Annotated[int, Query(ge=1, le=100)] = 3):
    async def events():
        for number in range(count):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(events(), media_type="text/event-stream")


def price_of(item):
    if item not in PRICES:
        raise HTTPException(404, f"there is no item {item}")
    return PRICES[item]
